import { useLocalStorage } from '@mantine/hooks';
import { createContext, type ReactNode, useContext, useMemo } from 'react';

/** In whose zone times are shown. */
export type ZoneChoice = 'local' | 'utc';

interface Preferences {
  readonly zoneChoice: ZoneChoice;
  /** An IANA name, such as Asia/Kolkata. */
  readonly zone: string;
  chooseZone(choice: ZoneChoice): void;
}

const PreferencesContext = createContext<Preferences | null>(null);

export const LOCAL_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function PreferencesProvider({ children }: { readonly children: ReactNode }) {
  const [zoneChoice, chooseZone] = useLocalStorage<ZoneChoice>({
    key: 'refundry-zone',
    defaultValue: 'local',
  });
  const preferences = useMemo(
    () => ({ zoneChoice, chooseZone, zone: zoneChoice === 'utc' ? 'UTC' : LOCAL_ZONE }),
    [zoneChoice, chooseZone],
  );
  return <PreferencesContext value={preferences}>{children}</PreferencesContext>;
}

export function usePreferences(): Preferences {
  const preferences = useContext(PreferencesContext);
  if (!preferences) throw new Error('there is no PreferencesProvider above');
  return preferences;
}
