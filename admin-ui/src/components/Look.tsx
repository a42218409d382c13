import { MantineProvider } from "@mantine/core";
import type { ReactNode } from "react";

import { cssVariables, theme } from "../theme";

/** The nonce of this page's Content-Security-Policy: Mantine's style tags carry it. */
const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";

// `react-remove-scroll`, in Mantine's dialogs, asks for it under webpack's name.
Object.assign(globalThis, { __webpack_nonce__: nonce });

export function Look({ children }: { children: ReactNode }) {
  return (
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      {children}
    </MantineProvider>
  );
}
