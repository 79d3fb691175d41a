/** One line of mountinfo; see proc_pid_mountinfo(5). */
export interface Mount {
  /** Unlike its place it is another one once something was unmounted and mounted again. */
  readonly device: string
  /** Folder of the file system that is mounted here; `/` but for binds of something inside it. */
  readonly root: string
  readonly mountPoint: string
  readonly options: readonly string[]
  readonly fileSystem: string
  readonly source: string
  readonly superOptions: readonly string[]
}

/** Reads the text of /proc/PID/mountinfo. */
export function parseMountTable(mountinfo: string): Mount[] {
  return mountinfo.trim().split('\n').map(parseLine)
}

function parseLine(line: string): Mount {
  // Optional fields stand between the options and a lone dash, none to many.
  const [before = '', after = ''] = line.split(' - ')
  const [, , device = '', root = '', mountPoint = '', options = ''] = before.split(' ')
  const [fileSystem = '', source = '', superOptions = ''] = after.split(' ')
  return {
    device,
    root: unescape(root),
    mountPoint: unescape(mountPoint),
    options: options.split(','),
    fileSystem,
    source: unescape(source),
    superOptions: superOptions.split(','),
  }
}

/** Blanks, tabs, newlines and backslashes are written as three octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
