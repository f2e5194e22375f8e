import {
  Badge,
  Button,
  createTheme,
  type MantineColorsTuple,
  Menu,
  Modal,
  Table,
  Tabs,
  TextInput,
  Tooltip,
} from '@mantine/core';

/** The one accent, for the one thing to do next. Blue is told apart from all status colours by every kind of eye. */
const accent: MantineColorsTuple = [
  '#eef2ff',
  '#dde4fd',
  '#b8c6f9',
  '#8fa5f6',
  '#6a87f2',
  '#4b6cec',
  '#2f54e0',
  '#2447d8',
  '#1c3bb8',
  '#172f91',
];

/** Greys with a breath of blue, so that paper and ink belong together in both schemes. */
const dark: MantineColorsTuple = [
  '#d5d9e2',
  '#b3bac8',
  '#949db0',
  '#697288',
  '#3d4557',
  '#2b3242',
  '#1e2431',
  '#161b26',
  '#11151e',
  '#0b0e15',
];

const gray: MantineColorsTuple = [
  '#f7f8fa',
  '#f0f2f5',
  '#e4e7ec',
  '#d5dae2',
  '#b9c0cc',
  '#949dad',
  '#667085',
  '#475063',
  '#2c3444',
  '#161c2a',
];

export const theme = createTheme({
  primaryColor: 'accent',
  primaryShade: { light: 7, dark: 5 },
  colors: { accent, dark, gray },
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: "'JetBrains Mono Variable', ui-monospace, monospace",
  headings: { fontWeight: '600', sizes: { h1: { fontSize: '1.25rem', lineHeight: '1.4' } } },
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.25rem' },
  defaultRadius: 'sm',
  cursorType: 'pointer',
  respectReducedMotion: true,
  components: {
    Badge: Badge.extend({ defaultProps: { variant: 'light', radius: 'sm', tt: 'none', fw: 500 } }),
    Button: Button.extend({ defaultProps: { size: 'sm' } }),
    // An element of its own to begin from is nothing that a menu may hold.
    Menu: Menu.extend({ defaultProps: { withInitialFocusPlaceholder: false } }),
    Modal: Modal.extend({
      defaultProps: {
        transitionProps: { duration: 0 },
        centered: true,
        closeButtonProps: { 'aria-label': 'Close' },
      },
      styles: { title: { fontWeight: 600 } },
    }),
    Table: Table.extend({ defaultProps: { verticalSpacing: 0, horizontalSpacing: 'sm' } }),
    Tabs: Tabs.extend({ defaultProps: { keepMounted: false } }),
    TextInput: TextInput.extend({ defaultProps: { size: 'sm' } }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 250, withArrow: true } }),
  },
});
