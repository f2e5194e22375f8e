import { ActionIcon, CopyButton } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import classes from './id.module.css';

/** An id: mono, shortened in the middle, with a copy button; the whole of it on hover and to screen readers. */
export function Id({
  value,
  of,
  whole = false,
}: {
  readonly value: string;
  readonly of: string;
  readonly whole?: boolean;
}) {
  const shown = whole ? value : shortened(value);
  return (
    <span className={classes.id}>
      <span className={classes.text} title={value}>
        {shown === value ? (
          value
        ) : (
          <>
            <span aria-hidden>{shown}</span>
            <span className={classes.spoken}>{value}</span>
          </>
        )}
      </span>
      <CopyButton value={value}>
        {({ copied, copy }) => (
          <ActionIcon
            className={classes.copy}
            variant="subtle"
            color="gray"
            size={20}
            aria-label={copied ? `${of} copied` : `Copy ${of}`}
            onClick={(event) => {
              event.stopPropagation();
              copy();
            }}
          >
            {copied ? <IconCheck size={13} /> : <IconCopy size={13} />}
          </ActionIcon>
        )}
      </CopyButton>
    </span>
  );
}

const LONGEST = 20;

/** The first and the last letters: those that people compare. */
export function shortened(value: string): string {
  return value.length <= LONGEST ? value : `${value.slice(0, 9)}…${value.slice(-8)}`;
}
