import { useEffect, type ReactNode } from "react";

import { Logo } from "./Logo";
import styles from "./Page.module.css";

export function Page({ title, lead, actions, above, children }: { title: string; lead?: ReactNode; actions?: ReactNode; above?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Tidegate`;
  }, [title]);
  return (
    <div className={styles.page}>
      {above}
      <header className={styles.head}>
        <div>
          <h1 className={styles.title}>{title}</h1>
          {lead ? <p className={styles.lead}>{lead}</p> : null}
        </div>
        {actions}
      </header>
      {children}
    </div>
  );
}

export function Card({ children, className = "" }: { children: ReactNode; className?: string }) {
  return <div className={`${styles.card} ${className}`}>{children}</div>;
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className={styles.empty}>
      <Logo size={40} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}
