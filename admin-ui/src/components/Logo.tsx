/** A tide gate: posts and beam, the leaf half raised, the tide below it. */
export function Logo({ size = 30 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" strokeLinecap="round" aria-hidden="true" focusable="false">
      <path d="M4.5 4.5h23M8 4.5v15M24 4.5v15" stroke="currentColor" strokeWidth="3" />
      <path d="M11.6 7.6h8.8v7.4h-8.8z" fill="#3fc3d1" />
      <path d="M2 22c3.5 0 3.5 2.2 7 2.2S12.5 22 16 22s3.5 2.2 7 2.2S26.5 22 30 22" stroke="#3fc3d1" strokeWidth="2.8" />
      <path d="M6 28.6c2.5 0 2.5 1.6 5 1.6s2.5-1.6 5-1.6 2.5 1.6 5 1.6 2.5-1.6 5-1.6" stroke="#2391a3" strokeWidth="2.4" />
    </svg>
  );
}
