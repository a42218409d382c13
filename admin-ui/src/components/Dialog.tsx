import { Modal, type ModalProps } from "@mantine/core";
import { useEffect, useState, type ReactNode } from "react";

interface DialogProps extends Pick<ModalProps, "size" | "closeOnClickOutside"> {
  title: string;
  onClose(): void;
  children: ReactNode;
}

/** A dialog that is open for as long as it is there. The focus goes back to what opened it, or to the page where that is gone. */
export function Dialog({ size = 460, ...props }: DialogProps) {
  const [opener] = useState(openerOfDialog);
  useEffect(
    () => () => {
      // After the dialog has gone, and with it what holds the focus.
      setTimeout(() => {
        if (document.activeElement !== document.body) return;
        const back = opener?.isConnected ? opener : document.getElementById("main");
        back?.focus({ preventScroll: true });
      });
    },
    [opener],
  );
  // Its header is the dialog's, not the page's.
  return <Modal opened size={size} attributes={{ header: { role: "none" } }} {...props} />;
}

/** What has the focus, if anything; of a menu, that will be gone, the button that opened it. */
function openerOfDialog(): HTMLElement | null {
  const focused = document.activeElement;
  if (!(focused instanceof HTMLElement) || focused === document.body) return null;
  const menu = focused.closest('[role="menu"]');
  return menu ? document.getElementById(menu.getAttribute("aria-labelledby") ?? "") : focused;
}
