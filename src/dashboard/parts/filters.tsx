import { Button, CloseButton, Group, Menu, Popover, Stack, TextInput } from '@mantine/core';
import { IconChevronDown } from '@tabler/icons-react';
import { type ReactNode, useEffect, useId, useState } from 'react';
import classes from './filters.module.css';

/** The filters of a list on one line. `f` brings the keyboard here. */
export function FilterBar({
  children,
  onClear,
}: {
  readonly children: ReactNode;
  readonly onClear?: (() => void) | undefined;
}) {
  return (
    <Group gap={6} className={classes.bar} role="group" aria-label="Filters" data-filters>
      {children}
      {onClear && (
        <Button variant="subtle" size="compact-sm" color="gray" onClick={onClear}>
          Clear filters
        </Button>
      )}
    </Group>
  );
}

interface ChoiceProps {
  readonly name: string;
  readonly value: string | undefined;
  readonly choices: readonly { readonly value: string; readonly label: string }[];
  readonly onChange: (value: string | undefined) => void;
}

/** A filter with one of a few values. */
export function ChoiceFilter({ name, value, choices, onChange }: ChoiceProps) {
  const chosen = choices.find((choice) => choice.value === value);
  return (
    <Menu position="bottom-start">
      <Menu.Target>
        <button type="button" className={classes.chip} data-active={value !== undefined || undefined}>
          {name}
          {value !== undefined && <b>{chosen?.label ?? value}</b>}
          <IconChevronDown size={13} aria-hidden />
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => onChange(undefined)}>Any</Menu.Item>
        {choices.map((choice) => (
          <Menu.Item
            key={choice.value}
            onClick={() => onChange(choice.value)}
            fw={choice.value === value ? 600 : undefined}
          >
            {choice.label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

interface FieldProps {
  readonly name: string;
  /** What is shown on the chip; undefined while the filter is not set. */
  readonly shown: string | undefined;
  readonly fields: readonly {
    readonly key: string;
    readonly label: string;
    readonly type?: string;
    readonly value: string | undefined;
  }[];
  /** What was typed as the filter has it, or what is wrong with it; absent where it is taken as it is. */
  readonly read?: (typed: FieldValues) => ReadFields;
  readonly onChange: (values: FieldValues) => void;
}

/** By the keys of the fields. */
export type FieldValues = Readonly<Record<string, string | undefined>>;

export type ReadFields =
  | { readonly ok: true; readonly values: FieldValues }
  | { readonly ok: false; readonly problems: FieldValues };

/** A filter that is typed: an amount's bounds, a range of days, an e-mail address. */
export function FieldFilter({ name, shown, fields, read, onChange }: FieldProps) {
  const [opened, setOpened] = useState(false);
  const [typed, setTyped] = useState<Record<string, string>>({});
  const [problems, setProblems] = useState<FieldValues>({});
  const id = useId();
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is typed outlives a new list beside it
  useEffect(() => {
    if (opened) setTyped(Object.fromEntries(fields.map((field) => [field.key, field.value ?? ''])));
    setProblems({});
  }, [opened]);

  function apply(): void {
    const values = Object.fromEntries(
      fields.map((field) => [field.key, typed[field.key]?.trim() || undefined]),
    );
    const found = read?.(values) ?? { ok: true, values };
    if (!found.ok) {
      setProblems(found.problems);
      return;
    }
    onChange(found.values);
    setOpened(false);
  }

  return (
    <Popover opened={opened} onChange={setOpened} position="bottom-start" trapFocus returnFocus>
      <Popover.Target>
        <button
          type="button"
          className={classes.chip}
          data-active={shown !== undefined || undefined}
          onClick={() => setOpened((is) => !is)}
        >
          {name}
          {shown !== undefined && <b>{shown}</b>}
          <IconChevronDown size={13} aria-hidden />
        </button>
      </Popover.Target>
      <Popover.Dropdown>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            apply();
          }}
        >
          <Stack gap="xs">
            {fields.map((field) => (
              <TextInput
                key={field.key}
                id={`${id}-${field.key}`}
                label={field.label}
                type={field.type ?? 'text'}
                value={typed[field.key] ?? ''}
                error={problems[field.key]}
                onChange={(event) => {
                  const { value } = event.currentTarget;
                  setTyped((before) => ({ ...before, [field.key]: value }));
                }}
              />
            ))}
            <Button type="submit" size="compact-sm">
              Apply
            </Button>
          </Stack>
        </form>
      </Popover.Dropdown>
    </Popover>
  );
}

interface SearchProps {
  readonly label: string;
  readonly value: string | undefined;
  readonly onChange: (value: string | undefined) => void;
  readonly width?: number;
}

const TYPING_MS = 250;

/** Text that narrows the list while it is typed. */
export function SearchFilter({ label, value, onChange, width = 280 }: SearchProps) {
  const [typed, setTyped] = useState(value ?? '');
  useEffect(() => setTyped(value ?? ''), [value]);
  useEffect(() => {
    const asked = typed.trim() || undefined;
    if (asked === value) return;
    const wait = setTimeout(() => onChange(asked), TYPING_MS);
    return () => clearTimeout(wait);
  }, [typed, value, onChange]);
  return (
    <TextInput
      aria-label={label}
      placeholder={label}
      size="xs"
      w={width}
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
      data-first-filter
      rightSection={
        typed ? <CloseButton size="xs" aria-label={`Clear ${label}`} onClick={() => setTyped('')} /> : null
      }
    />
  );
}
