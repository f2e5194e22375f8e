import { Button, CopyButton } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
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
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
    <pre className={classes.code} tabIndex={0}>
      {children}
    </pre>
  );
}
