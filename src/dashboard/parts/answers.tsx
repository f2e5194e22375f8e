import { Button, Group, Skeleton, Stack, Text } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Problem } from '../api/client.ts';
import classes from './answers.module.css';
import { Id } from './id.tsx';

/** What went wrong, what it means, and the way on. */
export function Failed({ error, onRetry }: { readonly error: unknown; readonly onRetry?: () => void }) {
  const problem = error instanceof Problem ? error : null;
  return (
    <div role="alert" className={classes.failed}>
      <IconAlertTriangle size={18} aria-hidden className={classes.sign} />
      <Stack gap={4}>
        <Text size="md">
          {problem ? problem.message : 'The page met an answer that it does not understand.'}
        </Text>
        {problem?.accepted && (
          <Text size="sm" c="dimmed">
            Accepted: {problem.accepted}
          </Text>
        )}
        <Group gap="sm">
          {onRetry && (
            <Button size="compact-sm" variant="default" onClick={onRetry}>
              Try again
            </Button>
          )}
          {problem?.requestId && (
            <Text size="xs" c="dimmed" component="span">
              Request <Id value={problem.requestId} of="request id" />
            </Text>
          )}
        </Group>
      </Stack>
    </div>
  );
}

/** Nothing here, and what to do next. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className={classes.empty}>
      <Text fw={500}>{title}</Text>
      {children && (
        <Group gap="sm" justify="center" mt="xs">
          {children}
        </Group>
      )}
    </div>
  );
}

/** The shape of what is coming. */
export function Loading({ rows = 8 }: { readonly rows?: number }) {
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are alike and never move
        <Skeleton key={row} height={16} my={10} radius="sm" width={`${92 - ((row * 17) % 30)}%`} />
      ))}
    </div>
  );
}
