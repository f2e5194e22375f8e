import { Button, CopyButton } from '@mantine/core';
import classes from './json.module.css';

/** An object as the API gives it. */
export function Json({ value, of }: { readonly value: unknown; readonly of: string }) {
  const text = JSON.stringify(value, null, 2);
  return (
    <div className={classes.box}>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <Button className={classes.copy} size="compact-xs" variant="default" onClick={copy}>
            {copied ? 'Copied' : `Copy ${of}`}
          </Button>
        )}
      </CopyButton>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard */}
      <pre className={classes.json} tabIndex={0}>
        {text}
      </pre>
    </div>
  );
}
