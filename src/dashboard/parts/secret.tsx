import { Button, CopyButton, Modal, Stack, Text } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Notice } from './notice.tsx';
import classes from './secret.module.css';

/** Text that is there to be carried elsewhere: an address, a key. */
export function Copyable({
  value,
  of,
  main = false,
}: {
  readonly value: string;
  readonly of: string;
  /** The one thing to do next. */
  readonly main?: boolean;
}) {
  return (
    <div className={classes.row}>
      <code className={classes.value}>{value}</code>
      <CopyButton value={value}>
        {({ copied, copy }) => (
          <Button
            variant={main ? 'filled' : 'default'}
            onClick={copy}
            aria-label={copied ? `${of} copied` : `Copy ${of}`}
            leftSection={copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
          >
            {copied ? 'Copied' : 'Copy'}
          </Button>
        )}
      </CopyButton>
    </div>
  );
}

/** Lines for a terminal. */
export function Code({ children }: { readonly children: string }) {
  return <pre className={classes.code}>{children}</pre>;
}

/** A secret that was just made, whole this one time. It does not go away by a slip of the hand. */
export function KeepSecret({
  title,
  value,
  of,
  keepWhere,
  children,
  onDone,
}: {
  readonly title: string;
  readonly value: string;
  readonly of: string;
  /** One sentence about where it belongs. */
  readonly keepWhere: string;
  readonly children?: ReactNode;
  readonly onDone: () => void;
}) {
  return (
    <Modal
      opened
      onClose={onDone}
      title={title}
      size="lg"
      closeOnClickOutside={false}
      closeOnEscape={false}
      withCloseButton={false}
    >
      <Stack gap="md">
        <Notice tone="amber" title={`Copy the ${of} now: it will not be shown again.`}>
          <Text size="sm">{keepWhere}</Text>
        </Notice>
        <Copyable value={value} of={of} main />
        {children}
        <Button variant="default" onClick={onDone}>
          I have kept it
        </Button>
      </Stack>
    </Modal>
  );
}
