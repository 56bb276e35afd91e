import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { atEnd } from './cleanup.mjs';

// A folder that is removed when the test ends.
export function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'spolia_e2e_'));
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// A folder that is a disk of its own; null where mounting is not permitted.
export function smallDisk(t, size) {
  const folder = mkdtempSync(join(tmpdir(), 'spolia_e2e_'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  atEnd(t, () => {
    if (status === 0) spawnSync('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  return status === 0 ? folder : null;
}

// All files below a folder whose path matches.
export function filesBelow(folder, pattern) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(path, pattern) : [path];
    })
    .filter((path) => pattern.test(path));
}

// Block files that are in use: none that are being written or were set aside.
export const blockFiles = (folder) =>
  filesBelow(folder, /\/[0-9a-f]{2}\/[0-9a-f]{32}\.kv$/).sort();
