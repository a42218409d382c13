import { Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

import { api } from "../../api/client";
import type { Me } from "../../api/types";
import { queries } from "../../api/queries";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TextLink } from "../../components/TextLink";
import { forgetSecret, takenSecret } from "../../lib/secret";
import { Gate } from "./Gate";
import { SetUp } from "./SetUp";

/** Where one-time links lead: the first run's set-up, or straight in. */
export function OneTimeLink() {
  const secret = takenSecret();
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const setup = useQuery(queries.setup());
  const enter = async (me: Me) => {
    forgetSecret();
    queryClient.setQueryData(queries.me().queryKey, me);
    await navigate({ to: "/", replace: true });
  };
  const redeem = useMutation({ mutationFn: api.signInByLink, onSuccess: enter });
  const { mutate } = redeem;
  const needed = setup.data?.needed;
  const tried = useRef(false);
  useEffect(() => {
    // A link works once: React's double effect in development must not spend it twice.
    if (needed !== false || secret === null || tried.current) return;
    tried.current = true;
    mutate(secret);
  }, [mutate, needed, secret]);

  if (setup.error) {
    return (
      <Gate title="One moment">
        <ProblemAlert error={setup.error} onRetry={() => void setup.refetch()} />
      </Gate>
    );
  }
  if (needed) return <SetUp secret={secret} onDone={enter} />;
  if (needed === false && secret === null) {
    return (
      <Gate title="Open the link again" lead="One-time links are kept in no history, so this page has lost yours.">
        <TextLink to="/sign-in" size="sm">
          Sign in with a password
        </TextLink>
      </Gate>
    );
  }
  if (redeem.error) {
    return (
      <Gate title="This link does not work">
        <ProblemAlert error={redeem.error} />
        <Text size="sm" c="dimmed" mt="md">
          Links work once and for a short time. Ask an administrator for another, or{" "}
          <TextLink to="/sign-in" inherit>
            sign in with a password
          </TextLink>
          .
        </Text>
      </Gate>
    );
  }
  return (
    <Gate title="Signing you in">
      <Loading what="Signing in" />
    </Gate>
  );
}
