import { IconFileUpload } from '@tabler/icons-react';
import { type DragEvent, type ReactNode, useId, useRef, useState } from 'react';
import classes from './batches.module.css';

interface Props {
  readonly label: string;
  readonly hint: ReactNode;
  readonly onChoose: (file: File) => void;
  readonly disabled?: boolean;
  readonly small?: boolean;
}

/** A file, chosen or dropped. */
export function ChooseFile({ label, hint, onChoose, disabled = false, small = false }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const hintId = useId();

  function drop(event: DragEvent): void {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer.files[0];
    if (file && !disabled) onChoose(file);
  }

  return (
    <section
      className={classes.drop}
      aria-label={label}
      data-over={over || undefined}
      data-small={small || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(!disabled);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <IconFileUpload size={small ? 20 : 28} stroke={1.5} aria-hidden className={classes.dropSign} />
      <button
        type="button"
        className={classes.dropButton}
        disabled={disabled}
        aria-describedby={hintId}
        onClick={() => input.current?.click()}
      >
        {label}
      </button>
      <div id={hintId} className={classes.dropHint}>
        {hint}
      </div>
      <input
        ref={input}
        type="file"
        hidden
        accept=".csv,.tsv,.txt,.xlsx,text/csv,application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          // The same file may be chosen once more.
          event.currentTarget.value = '';
          if (file) onChoose(file);
        }}
      />
    </section>
  );
}
