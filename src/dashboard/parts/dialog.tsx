import { Button, Group, Modal, Stack } from '@mantine/core';
import type { ReactNode } from 'react';
import { Refusal, useAct, useInvalidFocus } from './act.tsx';

interface Props {
  readonly title: string;
  /** What will happen, in words; and fields, where something is to be chosen. */
  readonly children: ReactNode | ((problem: unknown) => ReactNode);
  /** The button's name says what it does: "Revoke key Order service". */
  readonly act: string;
  readonly danger?: boolean;
  /** The name of the other button; "Keep it" where what is done is itself a cancelling. */
  readonly leave?: string;
  /** While something is missing that only the person can say. */
  readonly disabled?: boolean;
  /** False where what was done has a result to show first; then `onClose` is for the caller to call. */
  readonly closesWhenDone?: boolean;
  /** Fields that show their own refusal. */
  readonly fields?: readonly string[];
  readonly onAct: () => Promise<unknown>;
  /** After it was done as well. */
  readonly onClose: () => void;
}

/** Says what will happen and does it. A refusal stays beside what was asked. */
export function Dialog({
  title,
  children,
  act,
  danger = false,
  leave = 'Cancel',
  disabled = false,
  closesWhenDone = true,
  fields,
  onAct,
  onClose,
}: Props) {
  const { busy, problem, run } = useAct();
  const form = useInvalidFocus(problem);
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ 'aria-label': 'Close' }}>
      <form
        ref={form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void run(onAct).then((done) => done && closesWhenDone && onClose());
        }}
      >
        <Stack gap="sm">
          {typeof children === 'function' ? children(problem) : children}
          <Refusal problem={problem} {...(fields ? { fields } : {})} />
          <Group justify="flex-end" gap="xs" mt="xs">
            <Button variant="default" onClick={onClose}>
              {leave}
            </Button>
            <Button type="submit" loading={busy} disabled={disabled} {...(danger ? { color: 'red.9' } : {})}>
              {act}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
