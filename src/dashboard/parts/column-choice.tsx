import { Button, Checkbox, Popover } from '@mantine/core';
import { IconColumns3 } from '@tabler/icons-react';

interface Props {
  /** The columns that may be hidden: id and heading. */
  readonly columns: readonly (readonly [id: string, label: string])[];
  readonly hidden: readonly string[];
  readonly onChange: (hidden: string[]) => void;
}

/** Which columns of a list are shown. */
export function ColumnChoice({ columns, hidden, onChange }: Props) {
  return (
    <Popover position="bottom-end" trapFocus returnFocus>
      <Popover.Target>
        <Button variant="default" leftSection={<IconColumns3 size={15} />}>
          Columns
        </Button>
      </Popover.Target>
      <Popover.Dropdown p="xs" aria-label="Columns">
        {columns.map(([id, label]) => (
          <Checkbox
            key={id}
            label={label}
            my={6}
            checked={!hidden.includes(id)}
            onChange={(event) =>
              onChange(event.currentTarget.checked ? hidden.filter((one) => one !== id) : [...hidden, id])
            }
          />
        ))}
      </Popover.Dropdown>
    </Popover>
  );
}
