import type { Terminal } from '../../src/cli/output.ts'

/** A terminal that remembers what was written to it. */
export class RecordingTerminal implements Terminal {
  stdout = ''
  stderr = ''

  out(text: string): void {
    this.stdout += text
  }

  err(text: string): void {
    this.stderr += text
  }
}
