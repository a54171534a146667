// A real incident for a real agent: programs that use too much, in a process namespace of their own, so that the agent sees
// them and nothing else of this machine. Needs root.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, freePort, sleep } from './browser.mjs';

/** Ends with the test, whatever happens to that. */
const NAMESPACE = ['--pdeathsig', 'KILL', 'unshare', '--fork', '--pid', '--mount-proc', '--kill-child'];
/** `transcode` uses a CPU. `database` keeps all of a line that never ends, once the file `go` is there, until it reaches its limit. */
const SCRIPT = `
dir=$1 group=$2 busy=$3
shift 3
# The kernel's log has the incidents of others on this machine, too.
[ "$group" != /nowhere ] || mount --bind /dev/null /dev/kmsg
while [ "$busy" -gt 0 ]; do
    # Whatever else this machine does, it gets its share.
    nice -n -5 "$dir/transcode" -c 'while :; do :; done' &
    busy=$((busy - 1))
done
(
    while [ ! -e "$dir/go" ]; do sleep 0.2; done
    echo 0 >"$group/cgroup.procs"
    exec "$dir/database" /dev/zero
) &
while :; do "$@"; done`;

/** A control group with a limit of memory, of whichever version this machine has; null if it has none. */
function limited(bytes) {
  for (const [root, file] of [['/sys/fs/cgroup/memory', 'memory.limit_in_bytes'], ['/sys/fs/cgroup', 'memory.max']]) {
    const group = join(root, `pi-monitor-dashboard-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
    if (!existsSync(join(root, 'cgroup.procs'))) continue;
    try {
      mkdirSync(group);
      writeFileSync(join(group, file), String(bytes));
      return group;
    } catch {
      if (existsSync(group)) rmdirSync(group);
    }
  }
  return null;
}

export class Incident extends Agent {
  /** Why there can be no incident here; null if there can. */
  static lacks() {
    try {
      execFileSync('setpriv', [...NAMESPACE, 'true'], { stdio: 'ignore' });
      return null;
    } catch {
      return 'the right to a process namespace (root)';
    }
  }

  /** `flags` of the agent; how many programs are `busy`; the memory that the other one may use, in bytes, if there is one. */
  static async start({ flags = [], busy = 0, memory = 0 } = {}) {
    const incident = new Incident(await freePort(), flags);
    Object.assign(incident, { busy, group: memory ? limited(memory) : null, folder: mkdtempSync(join(tmpdir(), 'pi-monitor-')) });
    symlinkSync(execFileSync('sh', ['-c', 'command -v sh']).toString().trim(), join(incident.folder, 'transcode'));
    symlinkSync(execFileSync('sh', ['-c', 'command -v tail']).toString().trim(), join(incident.folder, 'database'));
    await incident.up();
    return incident;
  }

  spawn(command) {
    return spawn('setpriv', [...NAMESPACE, 'sh', '-c', SCRIPT, 'sh', this.folder, this.group ?? '/nowhere', String(this.busy), ...command], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  /** Lets the other program use all the memory that it may. */
  kill() {
    writeFileSync(join(this.folder, 'go'), '');
  }

  async stop() {
    await super.stop();
    rmSync(this.folder, { recursive: true });
    // The group is empty when the kernel has buried its last process.
    for (let i = 0; this.group && i < 50; i++) {
      try {
        rmdirSync(this.group);
        return;
      } catch {
        await sleep(100);
      }
    }
  }
}
