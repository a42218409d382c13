import { Button, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import type { Me } from "../../api/types";
import { ProblemAlert } from "../../components/ProblemAlert";
import { Gate } from "./Gate";

const MIN_PASSWORD = 12;

/** The first run: whoever holds the link that the server printed makes the first account. */
export function SetUp({ secret, onDone }: { secret: string | null; onDone(me: Me): Promise<void> }) {
  const [form, setForm] = useState({ secret: secret ?? "", name: "", email: "", password: "" });
  const setUp = useMutation({ mutationFn: api.setup, onSuccess: onDone });
  const field = (name: keyof typeof form) => ({
    value: form[name],
    onChange: (event: { currentTarget: { value: string } }) => {
      const { value } = event.currentTarget;
      setForm((all) => ({ ...all, [name]: value }));
    },
    error: isProblem(setUp.error) && setUp.error.field === `/${name}` ? setUp.error.message : null,
    required: true,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setUp.mutate({ ...form, secret: form.secret.trim().replace(/^.*\/(?:link|setup)\//, "") });
  };
  const atField = isProblem(setUp.error) && ["/secret", "/name", "/email", "/password"].includes(setUp.error.field ?? "");
  return (
    <Gate title="Set up Tidegate" lead="Make the first account. It administers this instance and invites everybody else.">
      <form onSubmit={submit}>
        <Stack>
          {setUp.error && !atField ? <ProblemAlert error={setUp.error} /> : null}
          {secret === null ? (
            <TextInput label="One-time link" description="The server printed it when it started." autoComplete="off" {...field("secret")} />
          ) : null}
          <TextInput label="Your name" autoComplete="name" autoFocus {...field("name")} />
          <TextInput label="Email" type="email" autoComplete="username" {...field("email")} />
          <PasswordInput
            label="Password"
            description={`At least ${MIN_PASSWORD} characters; a few words do well.`}
            minLength={MIN_PASSWORD}
            autoComplete="new-password"
            {...field("password")}
          />
          <Button type="submit" fullWidth loading={setUp.isPending} mt={4}>
            Create the account
          </Button>
        </Stack>
      </form>
    </Gate>
  );
}
