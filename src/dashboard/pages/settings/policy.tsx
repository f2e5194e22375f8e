import { Button, Text, TextInput } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Merchant } from '../../../api/contract/settings.ts';
import { useMay } from '../../api/session.ts';
import { changeSettings, merchantQuery } from '../../api/settings.ts';
import { Refusal, useAct, useInvalidFocus } from '../../parts/act.tsx';
import { Failed, Loading } from '../../parts/answers.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Page, Section } from '../../parts/page.tsx';
import classes from './merchant.module.css';
import { SwitchSetting } from './switch-setting.tsx';

/** What has to happen before money goes out. */
export function Policy() {
  const merchant = useQuery(merchantQuery);
  const mayManage = useMay('settings.manage');
  const settings = merchant.data?.settings;
  return (
    <Page
      title="Policy"
      about={
        <>
          What has to happen before a batch goes out.
          {!mayManage && ' Only the role Admin may change it.'}
        </>
      }
    >
      {merchant.isPending && <Loading rows={4} />}
      {merchant.isError && <Failed error={merchant.error} onRetry={() => void merchant.refetch()} />}
      {settings && (
        <div className={classes.narrow}>
          <Section title="Batches">
            <SwitchSetting
              name="batch_approval"
              label="A second person approves each batch"
              on="Nothing of a batch goes out before somebody other than who uploaded and who confirmed it approves exactly this file and total. Nor may who made the key that did. API keys cannot approve."
              off="Who confirms a batch by typing its total starts it. Switching this off takes a second admin, or a day where there is none."
              value={settings.batch_approval}
              mayManage={mayManage}
              waiting={merchant.data?.waiting_changes ?? []}
            />
            <NumberSetting
              name="batch_approval_hours"
              label="Hours to approve in"
              description="After that the batch has to be confirmed anew: 1 to 168."
              value={settings.batch_approval_hours}
              mayManage={mayManage}
            />
            <NumberSetting
              name="batch_wait_minutes"
              label="Minutes to wait before a batch starts"
              description="In them it can be cancelled as a whole: 0 (none) to 1440, a day."
              value={settings.batch_wait_minutes}
              mayManage={mayManage}
            />
          </Section>
        </div>
      )}
    </Page>
  );
}

function NumberSetting({
  name,
  label,
  description,
  value,
  mayManage,
}: {
  readonly name: 'batch_approval_hours' | 'batch_wait_minutes';
  readonly label: string;
  readonly description: string;
  readonly value: Merchant['settings']['batch_wait_minutes'];
  readonly mayManage: boolean;
}) {
  const client = useQueryClient();
  const { busy, problem, run, clear } = useAct();
  const form = useInvalidFocus(problem);
  const [typed, setTyped] = useState<string | null>(null);
  const text = typed ?? String(value);
  const changed = text.trim() !== String(value);

  return (
    <form
      ref={form}
      className={classes.setting}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!changed) return;
        void run(async () => {
          // What is no number is refused by the server, in its words.
          const number = /^\d{1,6}$/.test(text.trim()) ? Number(text.trim()) : (text as unknown as number);
          client.setQueryData(merchantQuery.queryKey, await changeSettings({ [name]: number }));
          setTyped(null);
        });
      }}
    >
      <div className={classes.number}>
        <TextInput
          label={label}
          description={description}
          inputMode="numeric"
          w={360}
          value={text}
          disabled={!mayManage}
          maxLength={6}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            clear();
          }}
          error={fieldProblem(problem, name)}
        />
        {changed && (
          <Button type="submit" loading={busy}>
            Save
          </Button>
        )}
      </div>
      <Refusal problem={problem} fields={[name]} />
      <Text size="xs" c="dimmed" role="status">
        {busy ? 'Saving …' : ''}
      </Text>
    </form>
  );
}
