import { Button, Group, Text } from '@mantine/core';
import { IconArrowBarToLeft, IconChevronRight } from '@tabler/icons-react';

interface Props {
  readonly shown: number;
  /** The cursor in the address: there while this is not the first page. */
  readonly cursor: string | undefined;
  readonly next: string | null;
  readonly onGo: (cursor: string | undefined) => void;
}

/** The way to the next page and back to the first; the browser's Back goes one page back. */
export function Pager({ shown, cursor, next, onGo }: Props) {
  if (cursor === undefined && next === null) {
    return (
      <Text size="xs" c="dimmed" mt="xs">
        {shown === 1 ? '1 row' : `${shown} rows`}
      </Text>
    );
  }
  return (
    <Group justify="space-between" mt="xs">
      <Text size="xs" c="dimmed">
        {shown} rows on this page
      </Text>
      <Group gap="xs">
        {cursor !== undefined && (
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<IconArrowBarToLeft size={14} />}
            onClick={() => onGo(undefined)}
          >
            First page
          </Button>
        )}
        <Button
          size="compact-sm"
          variant="default"
          rightSection={<IconChevronRight size={14} />}
          disabled={next === null}
          onClick={() => next !== null && onGo(next)}
        >
          Next page
        </Button>
      </Group>
    </Group>
  );
}
