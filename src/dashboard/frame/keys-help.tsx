import { Kbd, Modal, Table } from '@mantine/core';

const KEYS: readonly (readonly [keys: readonly string[], does: string])[] = [
  [['/', '⌘ K'], 'Search everything and go anywhere'],
  [['f'], 'Go to the filters of a list'],
  [['↑', '↓'], 'Walk the rows of a list'],
  [['Enter'], 'Open the row beside the list'],
  [['⌘ click'], 'Open the row in a new tab'],
  [['r'], 'Refund the order'],
  [['y'], 'Copy the id of the row'],
  [['Space'], 'Choose the row, where several can be settled together'],
  [['Esc'], 'Close what stands open'],
  [['?'], 'This list'],
];

export function KeysHelp({ opened, onClose }: { readonly opened: boolean; readonly onClose: () => void }) {
  return (
    <Modal opened={opened} onClose={onClose} title="Keyboard">
      <Table>
        <Table.Tbody>
          {KEYS.map(([keys, does]) => (
            <Table.Tr key={does}>
              <Table.Td w={130} py={6}>
                {keys.map((key) => (
                  <Kbd key={key} mr={6}>
                    {key}
                  </Kbd>
                ))}
              </Table.Td>
              <Table.Td>{does}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
