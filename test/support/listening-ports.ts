import { readdir, readFile, readlink } from 'node:fs/promises';

/** The TCP ports that a process of this machine listens on, at whatever address. Linux alone tells. */
export async function findListeningPorts(pid: number): Promise<number[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(
    descriptors.map((descriptor) => readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')),
  );
  const own = new Set(targets.flatMap((target) => target.match(/^socket:\[(\d+)\]$/)?.[1] ?? []));
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((table) => readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(() => '')),
  );
  const rows = tables.flatMap((table) => table.split('\n').map((row) => row.trim().split(/\s+/)));
  const listening = rows.filter(([, , , state, , , , , , inode]) => state === '0A' && own.has(inode ?? ''));
  return listening.map(([, address]) => Number.parseInt(address?.split(':')[1] ?? '', 16));
}
