/** The UI's own icons: 20 × 20, one stroke, the text's color. */

import type { ReactNode } from "react";

function icon(path: ReactNode) {
  return function Icon({ size = 18 }: { size?: number }) {
    return (
      <svg
        width={size}
        height={size}
        viewBox="0 0 20 20"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.6"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
        focusable="false"
      >
        {path}
      </svg>
    );
  };
}

export const FlagIcon = icon(<path d="M4.5 17.5v-14m0 .5c4-2 6.5 2 11 .2v7.3c-4.5 1.8-7-2.2-11-.2" />);
export const RolloutIcon = icon(<path d="M3 16.5h3.5V13H10V9.5h3.5V6H17M13.8 3.2 17 6l-3.2 2.8" />);
export const DeliveryIcon = icon(<path d="M3 6h5m4 0h5M3 14h2m4 0h8M8 6a2 2 0 1 0 4 0 2 2 0 0 0-4 0ZM5 14a2 2 0 1 0 4 0 2 2 0 0 0-4 0Z" />);
export const AuditIcon = icon(<path d="M4 5.5h12M4 10h12M4 14.5h7" />);
export const EnvironmentIcon = icon(<path d="m10 3 7 3.5-7 3.5-7-3.5L10 3Zm-7 7 7 3.5 7-3.5m-14 3.5L10 17l7-3.5" />);
export const SearchIcon = icon(<path d="m17 17-3.8-3.8M14.7 8.9a5.8 5.8 0 1 1-11.6 0 5.8 5.8 0 0 1 11.6 0Z" />);
export const DotsIcon = icon(<path d="M10 4.8v.01M10 10v.01M10 15.2v.01" strokeWidth="2.6" />);
export const KillIcon = icon(<path d="M10 3v6.5M6 5.2a6.5 6.5 0 1 0 8 0" />);
export const RestoreIcon = icon(<path d="M4 10a6 6 0 1 0 2-4.5L4 7.3M4 3.5v3.8h3.8" />);
export const PlusIcon = icon(<path d="M10 4v12M4 10h12" />);
export const CheckIcon = icon(<path d="m4.5 10.5 3.5 3.5 7.5-8" />);
export const CopyIcon = icon(<path d="M7.5 7.5h8v8h-8zM12.5 7.5v-3h-8v8h3" />);
export const ChevronIcon = icon(<path d="m6 8 4 4 4-4" />);
export const RightIcon = icon(<path d="m8 5 5 5-5 5" />);
export const SunIcon = icon(<path d="M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7ZM10 2v1.5m0 13V18m8-8h-1.5m-13 0H2m13.7-5.7-1.1 1.1M5.4 14.6l-1.1 1.1m0-11.4 1.1 1.1m9.2 9.2 1.1 1.1" />);
export const MoonIcon = icon(<path d="M16.5 11.8A7 7 0 0 1 8.2 3.5a7 7 0 1 0 8.3 8.3Z" />);
export const SystemIcon = icon(<path d="M3 4.5h14v9H3zM7.5 17h5M10 13.5V17" />);
export const PersonIcon = icon(<path d="M10 3.5a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM4 17c.6-3 3-4.5 6-4.5s5.4 1.5 6 4.5" />);
export const MenuIcon = icon(<path d="M3.5 6h13M3.5 10h13M3.5 14h13" />);
export const LockIcon = icon(<path d="M5.5 9h9v7.5h-9zM7.5 9V6.5a2.5 2.5 0 0 1 5 0V9" />);
export const WarningIcon = icon(<path d="M10 3.5 17.5 16.5h-15L10 3.5Zm0 5v3.5m0 2.3v.01" />);
export const KeyIcon = icon(<path d="M12.5 3.5a4 4 0 1 1-2.2 7.3L4.5 16.5H3v-3l6.2-4.8a4 4 0 0 1 3.3-5.2Zm.8 3.2v.01" />);
export const CloseIcon = icon(<path d="m5 5 10 10M15 5 5 15" />);
export const SegmentIcon = icon(<path d="M7.5 4.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11Zm5 .2a5.5 5.5 0 0 1 0 10.6" />);
export const OverviewIcon = icon(<path d="M3 11.5c2.3 0 2.3-2 4.7-2s2.3 2 4.6 2 2.4-2 4.7-2M3 16c2.3 0 2.3-2 4.7-2s2.3 2 4.6 2 2.4-2 4.7-2M10 3v3" />);
export const MembersIcon = icon(<path d="M7.5 4a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4ZM2.5 16c.5-2.8 2.4-4.2 5-4.2s4.500 1.400 5 4.200M13.200 4.600a2.600 2.600 0 0 1 0 4.400m1.600 3.200c1.500.6 2.400 1.800 2.700 3.800" />);
export const LinkIcon = icon(<path d="M8.500 11.500a3 3 0 0 0 4.300 0l2.700-2.700a3 3 0 0 0-4.300-4.300L10 5.700m1.500 2.800a3 3 0 0 0-4.300 0l-2.700 2.700a3 3 0 0 0 4.300 4.300l1.200-1.200" />);
export const DownloadIcon = icon(<path d="M10 3.500v9m-3.500-3.500 3.500 3.500 3.500-3.500M4 16.500h12" />);
export const PlaygroundIcon = icon(<path d="M8 3h4M8.5 3v5L4 15.5A1 1 0 0 0 5 17h10a1 1 0 0 0 1-1.5L11.5 8V3M6 12.5h8" />);
export const UpIcon = icon(<path d="M10 16V4.5M5 9.5l5-5 5 5" />);
export const DownIcon = icon(<path d="M10 4v11.5M5 10.5l5 5 5-5" />);
export const BinIcon = icon(<path d="M4 5.5h12M8 5.5v-2h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 9v4.5M11.5 9v4.5" />);
export const ServerIcon = icon(<path d="M3.5 4h13v5h-13zM3.5 11h13v5h-13zM6.5 6.5v.01M6.5 13.5v.01M10 6.5h3.500M10 13.500h3.500" />);
