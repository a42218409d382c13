import { Button, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Navigate, useNavigate, useSearch } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import { ProblemAlert } from "../../components/ProblemAlert";
import { Gate } from "./Gate";

export function SignIn() {
  const { next } = useSearch({ from: "/sign-in" });
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const setup = useQuery(queries.setup());
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const signIn = useMutation({
    mutationFn: api.signIn,
    onSuccess: async (me) => {
      queryClient.setQueryData(queries.me().queryKey, me);
      // Only a path of ours: `next` comes from the address.
      await navigate({ href: next?.startsWith("/") && !next.startsWith("//") ? next : "/", replace: true });
    },
  });

  if (setup.data?.needed) return <Navigate to="/link" replace />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate({ email: email.trim(), password });
  };
  return (
    <Gate title="Sign in">
      <form onSubmit={submit}>
        <Stack>
          {signIn.error ? <ProblemAlert error={signIn.error} /> : null}
          <TextInput
            label="Email"
            type="email"
            autoComplete="username"
            required
            autoFocus
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
          />
          <PasswordInput
            label="Password"
            autoComplete="current-password"
            required
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <Button type="submit" fullWidth loading={signIn.isPending} mt={4}>
            Sign in
          </Button>
        </Stack>
      </form>
    </Gate>
  );
}
