import { Button, Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { readAgain, sendPart } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Refusal } from '../../parts/act.tsx';
import { Notice } from '../../parts/notice.tsx';
import { durationText } from '../../parts/time.tsx';
import { Bar } from './bar.tsx';
import type { StepProps } from './batch.tsx';
import classes from './batches.module.css';
import { ChooseFile } from './choose-file.tsx';
import { otherFile, type Upload, upload, useUpload } from './uploads.ts';
import { useBatchAct } from './use-batch-act.ts';
import { bytesText } from './words.ts';

/** The file on its way here, and what keeps it from being taken. */
export function UploadStep({ batch }: StepProps) {
  const sending = useUpload(batch.batch_id);
  if (batch.status === 'cancelled') return <Text>It was cancelled before its file was here.</Text>;
  if (batch.problem) return <Unreadable batch={batch} />;
  const { bytes, received_bytes: received } = batch.file;
  if (bytes !== null && received >= bytes && sending?.state !== 'stopped') return <Taking batch={batch} />;
  return sending ? <Sending batch={batch} sending={sending} /> : <CutOff batch={batch} />;
}

/** Between its last byte and its first row. */
function Taking({ batch }: Pick<StepProps, 'batch'>) {
  const mayRun = useMay('batches.run');
  const { busy, problem, run } = useBatchAct();
  const { received_bytes: received } = batch.file;
  return (
    <Stack gap="sm" className={classes.narrow}>
      <Bar name="Reading the file" done={0} of={null}>
        The whole file is here and is being read.
      </Bar>
      {mayRun && (
        <Group gap="xs">
          <Button
            size="compact-sm"
            variant="default"
            loading={busy}
            onClick={() =>
              void run(() => sendPart(batch.batch_id, received, new ArrayBuffer(0), () => undefined))
            }
          >
            Read it again
          </Button>
          <Text size="sm" c="dimmed">
            if this takes longer than a minute.
          </Text>
        </Group>
      )}
      <Refusal problem={problem} />
    </Stack>
  );
}

function Sending({ batch, sending }: Pick<StepProps, 'batch'> & { readonly sending: Upload }) {
  const client = useQueryClient();
  const { file, sent, state, problem, bytesPerSecond } = sending;
  const leftMs = bytesPerSecond ? ((file.size - sent) / bytesPerSecond) * 1_000 : null;
  const goOn = () => void upload(client, batch, file);
  return (
    <Stack gap="sm" className={classes.narrow}>
      <Bar name="Upload" done={sent} of={file.size} still={state !== 'sending'}>
        <b>{bytesText(sent)}</b> of {bytesText(file.size)}
        {state === 'sending' && bytesPerSecond !== null && ` · ${bytesText(Math.round(bytesPerSecond))}/s`}
        {state === 'sending' && leftMs !== null && ` · ${durationText(Math.max(1_000, leftMs))} left`}
      </Bar>
      <div aria-live="polite">
        {state === 'broken' && (
          <Notice tone="amber" title="The connection was lost">
            <Text size="sm">It goes on by itself from where the server stands. Nothing is sent twice.</Text>
          </Notice>
        )}
        {state === 'stopped' && (
          <Notice tone="amber" title="The upload has stopped: the server does not answer">
            <Text size="sm" mb={8}>
              {bytesText(sent)} are kept. Check your connection; it goes on from there.
            </Text>
            <Button size="compact-sm" onClick={goOn}>
              Go on
            </Button>
          </Notice>
        )}
        {state === 'refused' && (
          <>
            <Refusal problem={problem} />
            <Button variant="default" mt="sm" onClick={goOn}>
              Go on
            </Button>
          </>
        )}
      </div>
      <Text size="sm" c="dimmed">
        You may look at other pages while it runs; keep this tab open. Each row is checked as soon as the file
        is here. Nothing is sent before it is confirmed.
      </Text>
    </Stack>
  );
}

/** No tab of ours sends it: the page was reloaded or closed, or somebody else uploads. */
function CutOff({ batch }: Pick<StepProps, 'batch'>) {
  const client = useQueryClient();
  const mayRun = useMay('batches.run');
  const [wrong, setWrong] = useState<string | null>(null);
  const { name, bytes, received_bytes: received } = batch.file;

  function choose(file: File): void {
    const why = otherFile(batch, file);
    setWrong(why);
    if (why === null) void upload(client, batch, file);
  }

  return (
    <Stack gap="sm" className={classes.narrow}>
      <Bar name="Upload" done={received} of={bytes} still>
        <b>{bytesText(received)}</b>
        {bytes !== null && ` of ${bytesText(bytes)}`} are here
      </Bar>
      <Text size="sm">
        This tab does not send the file. If it was cut off, or the page was reloaded, choose the same file
        again: it goes on where it stopped. If somebody is sending it right now, just wait.
      </Text>
      {mayRun && (
        <ChooseFile
          label={`Choose ${name} again`}
          hint="or drop it here. Its name and size have to be the same."
          small
          onChoose={choose}
        />
      )}
      {wrong && (
        <Text role="alert" size="sm" c="var(--red)">
          {wrong} To send another file, start a new batch.
        </Text>
      )}
    </Stack>
  );
}

/** The file is here, but cannot be taken as it is. */
function Unreadable({ batch }: Pick<StepProps, 'batch'>) {
  const mayRun = useMay('batches.run');
  const { busy, problem: refusal, run } = useBatchAct();
  const problem = batch.problem!;
  const sameFile = problem.code === 'same_file';
  const sheets = ['several_sheets', 'no_such_sheet'].includes(problem.code) ? batch.file.other_sheets : [];
  return (
    <div className={classes.narrow}>
      <Notice tone={sameFile ? 'amber' : 'red'} title={problem.message}>
        {problem.value && (
          <Text size="sm">
            In the file: <span className="mono">{problem.value}</span>
          </Text>
        )}
        {problem.accepted && <Text size="sm">Accepted: {problem.accepted}</Text>}
        <Text size="sm" mt={4}>
          {sameFile
            ? 'Nothing was sent from this upload. If the rows were refunded before, they would be found as duplicates; look at the earlier batch first.'
            : sheets.length > 0
              ? 'Nothing was sent. Choose the sheet whose refunds are meant.'
              : 'Nothing was sent. Mend the file and start a new batch with it.'}
        </Text>
        <div className={classes.row}>
          {problem.batch_id && (
            <Button size="compact-sm" variant="default" component={Link} to={`/batch/${problem.batch_id}`}>
              Look at the earlier batch
            </Button>
          )}
          {mayRun && sameFile && (
            <Button
              size="compact-sm"
              loading={busy}
              onClick={() => void run(() => readAgain(batch.batch_id, { same_file: 'allow' }))}
            >
              Take it all the same
            </Button>
          )}
          {mayRun &&
            sheets.map(({ name }) => (
              <Button
                key={name}
                size="compact-sm"
                loading={busy}
                onClick={() => void run(() => readAgain(batch.batch_id, { sheet: name }))}
              >
                Read “{name}”
              </Button>
            ))}
          {mayRun && !sameFile && (
            <Button size="compact-sm" component={Link} to={`/batch/new?kind=${batch.kind}`}>
              Start a new batch
            </Button>
          )}
        </div>
      </Notice>
      <Refusal problem={refusal} />
    </div>
  );
}
