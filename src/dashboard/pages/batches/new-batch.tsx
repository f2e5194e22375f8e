import { Button, Radio, Stack, Text, TextInput } from '@mantine/core';
import { IconFile, IconUpload } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import type { BatchKind } from '../../../api/contract/batches.ts';
import { batchQuery, createBatch, sampleHref } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Refusal, useAct, useInvalidFocus } from '../../parts/act.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Page } from '../../parts/page.tsx';
import classes from './batches.module.css';
import { ChooseFile } from './choose-file.tsx';
import { Steps } from './steps.tsx';
import { upload } from './uploads.ts';
import { bytesText, KINDS } from './words.ts';

/** As the server has it; said here before a long upload rather than after. */
const MOST_BYTES = 200_000_000;

/** The first step: which file, and what it is called. */
export function NewBatch() {
  const search = useSearch({ from: '/signed-in/batch/new' });
  const kind: BatchKind = search.kind === 'status_updates' ? 'status_updates' : 'refunds';
  const mayRun = useMay('batches.run');
  return (
    <Page title={KINDS[kind].create} about={<Link to={KINDS[kind].to}>{KINDS[kind].title}</Link>}>
      <Steps here="upload" open={['upload']} />
      {mayRun ? (
        <NewBatchForm key={kind} kind={kind} />
      ) : (
        <Text>Your role may look at batches. Uploading one takes the role Operations.</Text>
      )}
    </Page>
  );
}

function NewBatchForm({ kind }: { readonly kind: BatchKind }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { busy, problem, run, clear } = useAct();
  const form = useInvalidFocus(problem);
  const [file, setFile] = useState<File | null>(null);
  const [name, setName] = useState('');
  const [amounts, setAmounts] = useState<'major' | 'minor'>('major');
  const unfit = file && unfitness(file);

  function choose(chosen: File): void {
    clear();
    setFile(chosen);
    if (name.trim() === '' || (file && name === nameOf(file))) setName(nameOf(chosen));
  }

  async function begin(): Promise<void> {
    if (!file || unfit) return;
    const batch = await createBatch({
      kind,
      name: name.trim(),
      file_name: file.name,
      bytes: file.size,
      ...(kind === 'refunds' && { amounts }),
    });
    client.setQueryData(batchQuery(batch.batch_id).queryKey, batch);
    void upload(client, batch, file);
    await navigate({ to: '/batch/$batchId', params: { batchId: batch.batch_id }, search: {} });
  }

  return (
    <form
      ref={form}
      className={classes.narrow}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void run(begin);
      }}
    >
      <Stack gap="md">
        <ChooseFile
          label={file ? 'Choose another file' : 'Choose a file'}
          small={file !== null}
          disabled={busy}
          onChoose={choose}
          hint={
            <>
              or drop it here. CSV or XLSX, up to 1,000,000 rows and 200 MB.{' '}
              <a href={sampleHref(kind)} download>
                Download the sample file
              </a>
            </>
          }
        />
        {file && (
          <div className={classes.chosen}>
            <IconFile size={18} stroke={1.6} aria-hidden />
            <span className={classes.chosenName}>{file.name}</span>
            <span className={classes.quiet}>{bytesText(file.size)}</span>
          </div>
        )}
        {unfit && (
          <Text role="alert" size="sm" c="var(--red)">
            {unfit}
          </Text>
        )}
        <TextInput
          label="Name"
          description="What your team calls this batch."
          value={name}
          maxLength={200}
          onChange={(event) => setName(event.currentTarget.value)}
          error={fieldProblem(problem, 'name')}
        />
        {kind === 'refunds' && (
          <Radio.Group
            label="Amounts in the file are"
            description="Unless the file says it itself, in a column amount_minor."
            value={amounts}
            onChange={(value) => setAmounts(value as 'major' | 'minor')}
          >
            <Stack gap={6} mt={6}>
              <Radio value="major" label="in major units: 12.50 is twelve rupees and fifty paise" />
              <Radio value="minor" label="in minor units: 1250 is twelve rupees and fifty paise" />
            </Stack>
          </Radio.Group>
        )}
        <Refusal problem={problem} fields={['name']} />
        <div className={classes.row}>
          <Button
            type="submit"
            loading={busy}
            disabled={!file || Boolean(unfit) || name.trim() === ''}
            leftSection={<IconUpload size={16} />}
          >
            Upload and check
          </Button>
          <Text size="sm" c="dimmed">
            {file ? 'Each row is checked. Nothing is sent before you confirm.' : 'Choose a file first.'}
          </Text>
        </div>
      </Stack>
    </form>
  );
}

/** Why a file need not be sent at all. */
function unfitness(file: File): string | null {
  if (file.size === 0) return `${file.name} is empty.`;
  if (file.size > MOST_BYTES)
    return `${file.name} has ${bytesText(file.size)}; a batch takes up to ${bytesText(MOST_BYTES)}. Split it into several.`;
  return null;
}

/** "refunds-november.csv" as "refunds-november". */
function nameOf(file: File): string {
  return file.name.replace(/\.[^.]+$/, '').slice(0, 200) || file.name.slice(0, 200);
}
