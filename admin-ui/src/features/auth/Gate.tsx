import { useEffect, type ReactNode } from "react";

import { Logo } from "../../components/Logo";
import styles from "./Gate.module.css";

/** The scene before one is inside: a card above the water. */
export function Gate({ title, lead, wide = false, children }: { title: string; lead?: ReactNode; wide?: boolean; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Tidegate`;
  }, [title]);
  return (
    <main className={styles.scene}>
      <svg className={styles.water} viewBox="0 0 1440 380" preserveAspectRatio="none" aria-hidden="true" focusable="false">
        <path d="M0 92c180-58 340-58 520 0s340 58 520 0 280-50 400-16v304H0Z" fill="#26a0b3" opacity=".28" />
        <path d="M0 156c150-46 320-50 480-4s330 52 490 6 330-52 470-8v230H0Z" fill="#128499" opacity=".45" />
        <path d="M0 226c200-44 330-34 500 0s320 38 480 2 300-42 460 0v152H0Z" fill="#083f4c" opacity=".85" />
      </svg>
      <div className={styles.box} data-wide={wide || undefined}>
        <div className={styles.brand}>
          <Logo />
          Tidegate
        </div>
        <h1 className={styles.title}>{title}</h1>
        {lead ? <p className={styles.lead}>{lead}</p> : null}
        {children}
      </div>
    </main>
  );
}
