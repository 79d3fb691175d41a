const NAME = 'latchkey_host_[a-z0-9_]+'
const LABEL = '[a-z_]+="(?:[^"\\\\]|\\\\.)*"'
const VALUE = '[-+]?(?:[0-9][0-9.]*(?:e[-+]?[0-9]+)?|Inf|Nan)'

/** The lines of Prometheus' text format that prom-client writes, about our own host metrics. */
const HOST_LINE = new RegExp(
  `^(?:# HELP ${NAME} .*|# TYPE ${NAME} (?:counter|gauge|histogram|summary)|` +
    `${NAME}(?:\\{(?:${LABEL}(?:,${LABEL})*)?\\})? ${VALUE})$`,
)

/**
 * One page for both sides. The host side may be of another version than the daemon, or compromised: of its
 * text only well-formed lines about latchkey_host_ metrics are taken, so that it can neither forge the
 * daemon's figures nor make the page unreadable for Prometheus.
 */
export function joinMetricsPages(daemonText: string, hostText: string): string {
  const lines = hostText.split('\n').filter((line) => HOST_LINE.test(line))
  return lines.length === 0 ? daemonText : `${daemonText.trimEnd()}\n${lines.join('\n')}\n`
}
