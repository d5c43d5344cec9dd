"""Style sheet of the report: one column, readable on a phone, light and dark."""

STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --soft: #55606e; --page: #f5f6f8;
  --card: #ffffff; --line: #d8dde4; --accent: #1f5fa8;
  --sub: #8a4b00; --sub-bg: #ffe9c9; --del: #9b1c1c; --del-bg: #fbdcdc;
  --ins: #14568f; --ins-bg: #d9eafa; }
@media (prefers-color-scheme: dark) { :root { --text: #e6eaf0; --soft: #a3adba;
  --page: #14181e; --card: #1d232b; --line: #363f4a; --accent: #7db4f0;
  --sub: #ffd08a; --sub-bg: #4a3412; --del: #ffb0b0; --del-bg: #4f1d1d;
  --ins: #a8d4ff; --ins-bg: #173450; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
.sub-title { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
.note { border-left: 4px solid var(--sub); background: var(--sub-bg); color: var(--sub);
  padding: .6rem .9rem; margin: 1rem 0; border-radius: 4px; font-weight: 600; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .9rem 1rem; margin: 0 0 .9rem; }
.scroll { overflow-x: auto; padding: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tbody tr, thead tr { border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .85rem; font-weight: 600; }
tr.part th { padding-left: 2rem; font-weight: 400; }
td.rate { font-weight: 700; }
tr.part td.rate { font-weight: 500; }
img { max-width: 100%; height: auto; display: block; background: #fff;
  border-radius: 4px; }
.utterance h3 { font-size: .95rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
.utterance h3 small { color: var(--soft); font-weight: 400; }
audio { width: 100%; max-width: 26rem; height: 2.4rem; margin: .2rem 0 .5rem; }
.aligned { display: flex; flex-wrap: wrap; gap: .35rem .15rem; align-items: stretch; }
.row-names, .pair { display: inline-flex; flex-direction: column; padding: .1rem .35rem;
  border-radius: 4px; text-align: center; }
.row-names { color: var(--soft); text-align: left; font-size: .8rem; line-height: 1.8; }
.pair .op { font-size: .75rem; font-weight: 700; min-height: 1.1rem; }
.pair.S { background: var(--sub-bg); color: var(--sub); }
.pair.D { background: var(--del-bg); color: var(--del); }
.pair.I { background: var(--ins-bg); color: var(--ins); }
.gap { letter-spacing: .1em; opacity: .7; }
.legend { color: var(--soft); font-size: .9rem; margin: 0 0 .7rem; }
.legend b { padding: 0 .35rem; border-radius: 4px; }
.legend .S { background: var(--sub-bg); color: var(--sub); }
.legend .D { background: var(--del-bg); color: var(--del); }
.legend .I { background: var(--ins-bg); color: var(--ins); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem;
  margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere;
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  font-size: .88rem; }
a { color: var(--accent); }
.missing { color: var(--soft); font-size: .88rem; margin: .2rem 0 .5rem; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; } th, td { padding: .35rem .55rem; }
  main { padding: 1rem .6rem 3rem; } .card { padding: .7rem .7rem; }
  .card.scroll { padding: 0; } }
"""
