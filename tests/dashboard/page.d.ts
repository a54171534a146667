// What the dashboard's scripts keep on elements and on the window.

interface Element {
  /** The chart whose box this is. */
  chart?: any;
  /** What a button does, to find it again after it was made anew. */
  key?: string;
}

interface EventTarget {
  closest(selector: string): Element | null;
}

interface Window {
  /** Set when the page's script has come to its end. */
  piMonitor?: boolean;
  /** A benchmark's lists of times in milliseconds. */
  dashboardTiming?: { draw: number[]; hover: number[]; render: number[] };
}

/** What the second script leaves for load.js. */
declare var piMonitorPart: ((shared: object) => any) | undefined;
