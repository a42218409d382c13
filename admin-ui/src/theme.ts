import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";

/** Deep water, from the surface down. */
const tide: MantineColorsTuple = [
  "#e7f6f8",
  "#cfebf0",
  "#a2d9e2",
  "#6fc4d1",
  "#41b0c1",
  "#26a0b3",
  "#107d91",
  "#0a6b7e",
  "#0a5464",
  "#083f4c",
];

/** Greys with water in them, so that nothing on the page is dead grey. */
const gray: MantineColorsTuple = [
  "#f5f9fa",
  "#edf3f5",
  "#e0e9ec",
  "#ccd9de",
  "#b3c4cb",
  "#8ca1aa",
  "#5d737d",
  "#435860",
  "#2b3d45",
  "#18282f",
];

const dark: MantineColorsTuple = [
  "#dbeaee",
  "#b7cdd4",
  "#92b0ba",
  "#64848f",
  "#2c4b57",
  "#1d3a46",
  "#122c37",
  "#0a1e27",
  "#07171e",
  "#051117",
];

/** A buoy's red: for kills only. */
const buoy: MantineColorsTuple = [
  "#fdeeeb",
  "#f9d9d3",
  "#f2b1a6",
  "#ec8675",
  "#e6634e",
  "#dd4a34",
  "#c93a25",
  "#ab2d1a",
  "#8b2516",
  "#6d1d12",
];

export const theme = createTheme({
  colors: { tide, gray, dark, buoy },
  primaryColor: "tide",
  primaryShade: { light: 7, dark: 6 },
  autoContrast: true,
  defaultRadius: "md",
  cursorType: "pointer",
  respectReducedMotion: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, Cantarell, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: "650" },
  components: {
    Modal: {
      defaultProps: { centered: true, radius: "lg", overlayProps: { backgroundOpacity: 0.45, blur: 3, color: "#04151c" }, padding: "lg", closeButtonProps: { "aria-label": "Close" } },
    },
    Notification: { defaultProps: { closeButtonProps: { "aria-label": "Dismiss" } } },
    Drawer: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Button: { defaultProps: { radius: "md" } },
    Tooltip: { defaultProps: { openDelay: 250, withArrow: true, multiline: true, maw: 320, events: { hover: true, focus: true, touch: true } } },
    Menu: { defaultProps: { radius: "md", shadow: "md" } },
  },
});

export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#f4f8f9",
    "--mantine-color-text": "#12262f",
    "--mantine-color-dimmed": "#4d646e",
    "--mantine-color-error": "#b3301c",
    "--mantine-color-placeholder": "#5d737d",
    "--mantine-color-default-border": "#c5d4da",
    "--tg-surface": "#ffffff",
    "--tg-surface-sunk": "#ebf2f4",
    "--tg-line": "#dbe6ea",
    "--tg-water": "#c6e7ed",
    "--tg-water-deep": "#a5d8e1",
    "--tg-on": "#0a6b7e",
    "--tg-switch": "#0a6b7e",
    "--tg-killed": "#ab2d1a",
    "--tg-killed-bg": "#fdeeeb",
    "--tg-production": "#7a4a00",
    "--tg-production-bg": "#fff1d6",
    "--tg-added": "#0b5d3b",
    "--tg-added-bg": "#e2f5ea",
    "--tg-removed": "#93271a",
    "--tg-removed-bg": "#fdeae6",
    // Mantine's own is too light on its background to be read.
    "--mantine-color-yellow-light-color": "#7a4a00",
  },
  dark: {
    "--mantine-color-body": "#0a1e27",
    "--mantine-color-text": "#dbeaee",
    "--mantine-color-dimmed": "#92b0ba",
    "--mantine-color-error": "#ff9b8a",
    "--mantine-color-placeholder": "#7d9ca7",
    "--mantine-color-default-border": "#2c4b57",
    "--tg-surface": "#0f2731",
    "--tg-surface-sunk": "#0b212a",
    "--tg-line": "#1c3945",
    "--tg-water": "#11495a",
    "--tg-water-deep": "#17667a",
    "--tg-on": "#6fd0dd",
    "--tg-switch": "#2aa7ba",
    "--tg-killed": "#ff9b8a",
    "--tg-killed-bg": "#3c1a16",
    "--tg-production": "#ffd48a",
    "--tg-production-bg": "#3a2c10",
    "--tg-added": "#8fe0b4",
    "--tg-added-bg": "#0e3527",
    "--tg-removed": "#ffab9c",
    "--tg-removed-bg": "#3d1b17",
  },
});
