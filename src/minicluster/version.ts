import type { Answer } from './answer.ts'
import { jsonAnswer } from './answer.ts'

/** The Kubernetes whose answers these are. */
const VERSION = {
  major: '1',
  minor: '37',
  gitVersion: 'v1.37.1+minicluster',
  gitCommit: 'minicluster',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
}

export function answerVersion(): Answer {
  return jsonAnswer(200, VERSION)
}
