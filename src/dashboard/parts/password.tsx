import { PasswordInput, type PasswordInputProps } from '@mantine/core';
import { useState } from 'react';
import {
  NO_PASSWORD_WORDS,
  PASSWORD_LEAST,
  PASSWORD_MOST,
  PASSWORD_WORDS,
} from '../../api/contract/password.ts';

interface Props extends Omit<PasswordInputProps, 'visible' | 'onVisibilityChange'> {
  readonly label: string;
  readonly autoComplete: 'current-password' | 'new-password';
}

/** A password that can be shown, by the keyboard too. */
export function PasswordField(props: Props) {
  const [visible, setVisible] = useState(false);
  return (
    <PasswordInput
      required
      withAsterisk={false}
      aria-invalid={Boolean(props.error)}
      {...props}
      visible={visible}
      onVisibilityChange={setVisible}
      visibilityToggleFocusable
      visibilityToggleButtonProps={{ 'aria-label': `Show ${props.label.toLowerCase()}`, type: 'button' }}
    />
  );
}

interface NewProps {
  readonly label: string;
  readonly value: string;
  readonly error: string | null;
  readonly onChange: (value: string) => void;
}

/** A password that is being chosen. It is typed once, for it can be read. */
export function NewPasswordField({ label, value, error, onChange }: NewProps) {
  return (
    <PasswordField
      label={label}
      description={`${PASSWORD_WORDS[0]?.toUpperCase()}${PASSWORD_WORDS.slice(1)}. A few unrelated words are good; ${NO_PASSWORD_WORDS}.`}
      name="new-password"
      autoComplete="new-password"
      minLength={PASSWORD_LEAST}
      maxLength={PASSWORD_MOST}
      value={value}
      error={error}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
