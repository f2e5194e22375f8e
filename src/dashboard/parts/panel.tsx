import { ActionIcon, CloseButton, Group, Tooltip } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconArrowsMaximize } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef } from 'react';
import classes from './panel.module.css';

interface Props {
  readonly title: ReactNode;
  readonly label: string;
  /** The page that shows the same in full, where there is one. */
  readonly href?: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

/** Details beside their list. Escape closes it and gives the focus back to the row it came from. */
export function SidePanel({ title, label, href, onClose, children }: Props) {
  const panel = useRef<HTMLElement>(null);
  useHotkeys([['Escape', onClose]]);
  useEffect(() => {
    const before = document.activeElement;
    panel.current?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);

  return (
    <aside ref={panel} className={classes.panel} aria-label={label} tabIndex={-1}>
      <Group className={classes.head} justify="space-between" wrap="nowrap">
        <div className={classes.title}>{title}</div>
        <Group gap={4} wrap="nowrap">
          {href !== undefined && (
            <Tooltip label="Open as a page">
              <ActionIcon
                component={Link}
                to={href}
                variant="subtle"
                color="gray"
                aria-label="Open as a page"
              >
                <IconArrowsMaximize size={16} />
              </ActionIcon>
            </Tooltip>
          )}
          <CloseButton onClick={onClose} aria-label="Close" />
        </Group>
      </Group>
      <div className={classes.body}>{children}</div>
    </aside>
  );
}
