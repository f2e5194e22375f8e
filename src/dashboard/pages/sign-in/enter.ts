import { useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { tellOtherTabs } from '../../api/session.ts';
import { wayBack } from './way-back.ts';

/** Goes in once the session stands, to where the address says or to the first page. */
export function useEnter(back: string | undefined): () => void {
  const client = useQueryClient();
  const router = useRouter();
  return () => {
    // Whatever is known belongs to who was here before.
    client.clear();
    tellOtherTabs();
    router.history.replace(wayBack(back, window.location.origin));
  };
}
