import { Button } from '@mantine/core';
import { type ErrorComponentProps, Link, useRouter } from '@tanstack/react-router';
import { Empty, Failed } from '../parts/answers.tsx';
import { Page } from '../parts/page.tsx';

export function NotFound() {
  return (
    <Page title="Not found">
      <Empty title="There is no page at this address.">
        <Button component={Link} to="/" variant="default">
          Go to Home
        </Button>
      </Empty>
    </Page>
  );
}

export function PageFailed({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  return (
    <Page title="This page did not load">
      <Failed
        error={error}
        onRetry={() => {
          reset();
          void router.invalidate();
        }}
      />
    </Page>
  );
}
