import { Button, Tooltip, type ButtonProps } from "@mantine/core";
import type { ReactNode } from "react";

interface GuardedProps extends ButtonProps {
  /** Why not; null where it can be used. */
  refusal: string | null;
  onClick?: () => void;
  type?: "button" | "submit";
  "aria-label"?: string;
  children: ReactNode;
}

/** A button that stays where it is for those who may not use it, and says why. */
export function Guarded({ refusal, onClick, type = "button", children, ...rest }: GuardedProps) {
  return (
    <Tooltip label={refusal} disabled={refusal === null}>
      <Button
        {...rest}
        type={refusal === null ? type : "button"}
        aria-disabled={refusal !== null || undefined}
        data-disabled={refusal !== null || undefined}
        aria-description={refusal ?? undefined}
        onClick={() => {
          if (refusal === null) onClick?.();
        }}
      >
        {children}
      </Button>
    </Tooltip>
  );
}
