"""The sheet of styles: one column, one accent, figures in line; light, dark and paper.

No character of a run enters it, so that its digest can stand in the page's policy on content.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

_LIGHT: Final = """--ink:#1b1f23;--muted:#5d656d;--rule:#d8dce0;--paper:#fff;--wash:#f5f7f7;
--accent:#0b6468;--on:#fff;--warn:#8a3b12;
--s0:#0b5a5e;--s1:#2f8d8f;--s2:#79b8b6;--s3:#b6d8d5;--s4:#8d969d;--s5:#cdd3d7;"""

_DARK: Final = """--ink:#dfe4e7;--muted:#96a0a7;--rule:#2b3338;--paper:#13171a;--wash:#1a2023;
--accent:#66c7c2;--on:#0e1214;--warn:#e0a072;
--s0:#86d8d2;--s1:#4fa9a6;--s2:#327d7d;--s3:#225557;--s4:#8b949b;--s5:#4b545a;"""

STYLE: Final = f""":root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
html{{background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%}}
body{{margin:0 auto;max-width:56rem;padding:2.2rem 1.4rem 4rem;
font:400 0.9rem/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans","Liberation Sans",sans-serif;
font-variant-numeric:tabular-nums lining-nums}}
h1,h2,h3{{line-height:1.25;font-weight:600;text-wrap:balance}}
h1{{font-size:1.9rem;margin:.3rem 0 .2rem;letter-spacing:-.01em}}
h2{{font-size:1.15rem;margin:2.8rem 0 .7rem;padding-top:.55rem;border-top:1px solid var(--rule)}}
h2 .n{{color:var(--accent);margin-right:.5rem}}
h3,caption{{font-size:.9rem;font-weight:600;margin:1.6rem 0 .4rem;text-align:left}}
p{{margin:.4rem 0;max-width:44rem}}
a{{color:inherit}}
.over{{color:var(--accent);font-size:.78rem;letter-spacing:.05em}}
.lead{{font-size:1.05rem;color:var(--muted)}}
.muted,.note{{color:var(--muted)}}
.note{{font-size:.8rem}}
.bind{{font-size:.78rem;color:var(--muted);overflow-wrap:anywhere}}
.verdicts{{margin:1.4rem 0;padding:0;list-style:none;border:1px solid var(--rule);
border-left:3px solid var(--accent);background:var(--wash)}}
.verdicts li{{display:grid;grid-template-columns:4.6rem 1fr;gap:.2rem .8rem;padding:.55rem 1rem}}
.verdicts li+li{{border-top:1px solid var(--rule)}}
.verdicts strong{{font-weight:600;color:var(--accent)}}
.verdicts .no strong,.verdicts .not strong{{color:var(--warn)}}
.verdicts b{{font-weight:600}}
.verdicts span{{display:block;color:var(--muted)}}
.head{{display:grid;grid-template-columns:repeat(4,1fr);gap:0 1.2rem;
margin:1.2rem 0 0;border-bottom:1px solid var(--rule);border-top:1px solid var(--rule)}}
.head div{{padding:.6rem 0}}
.head dt{{font-size:.76rem;line-height:1.35;color:var(--muted)}}
.head dd{{margin:0;font-size:1.25rem;font-weight:600}}
.head dd small{{font-size:.8rem;font-weight:400}}
nav{{margin:1rem 0 0;font-size:.82rem;color:var(--muted)}}
nav a{{margin-right:1.1rem;text-decoration-color:var(--rule);white-space:nowrap}}
dl.facts{{display:grid;grid-template-columns:minmax(9rem,17rem) 1fr;margin:.6rem 0;
font-size:.84rem}}
dl.facts dt,dl.facts dd{{padding:.2rem 0;border-bottom:1px solid var(--rule)}}
dl.facts dt{{color:var(--muted);padding-right:1rem}}
dl.facts dd{{margin:0;overflow-wrap:anywhere}}
.scroll{{overflow-x:auto;margin:.4rem 0 1.2rem}}
table{{border-collapse:collapse;font-size:.8rem;line-height:1.4;width:100%}}
caption{{padding:.9rem 0 .35rem;margin:0}}
th,td{{padding:.22rem .5rem;text-align:right;vertical-align:top;
border-bottom:1px solid var(--rule)}}
th{{font-weight:500;color:var(--muted);vertical-align:bottom;border-bottom-color:var(--muted)}}
th small{{font-weight:400}}
th{{overflow-wrap:break-word}}
.w{{text-align:left;overflow-wrap:anywhere}}
th.w{{overflow-wrap:break-word}}
td.w{{min-width:5.6rem}}
td.w:first-child{{min-width:8.5rem}}
td.w.digest{{min-width:0}}
th:first-child,td:first-child{{padding-left:0}}
th:last-child,td:last-child{{padding-right:0}}
td.v{{white-space:nowrap}}
tr.total td{{font-weight:600;border-bottom:0;border-top:1px solid var(--muted)}}
tr.rest td{{color:var(--muted)}}
.digest{{font-family:ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace;font-size:.92em}}
sup{{font-size:.68em;line-height:0;margin-left:.12em}}
sup a{{color:var(--muted);text-decoration:none}}
sup a:hover,sup a:focus{{color:var(--accent);text-decoration:underline}}
:target{{background:var(--wash)}}
figure{{margin:1.4rem 0 .6rem}}
figcaption{{font-size:.9rem;font-weight:600;margin-bottom:.5rem}}
svg.chart{{display:block;width:100%;height:auto}}
svg text{{font-size:11px;fill:var(--ink)}}
svg .muted,svg .note{{fill:var(--muted);font-size:10px}}
svg .on{{fill:var(--on)}}
svg .grid{{stroke:var(--rule);stroke-width:.7}}
svg .axis{{stroke:var(--muted);stroke-width:.9}}
svg .hot{{fill:var(--accent);stroke:var(--rule);stroke-width:.5}}
svg .cold{{fill:none;stroke:var(--muted);stroke-width:.9;stroke-dasharray:2 2}}
svg .disc{{fill:var(--accent)}}
svg .ring{{fill:var(--paper);stroke:var(--muted);stroke-width:1.1}}
svg .fault{{stroke:var(--warn);stroke-width:1.6}}
{"".join(f"svg .s{n}{{fill:var(--s{n})}}" for n in range(6))}
details{{margin:.3rem 0 1.2rem;font-size:.84rem}}
summary{{color:var(--muted);cursor:pointer}}
ul.limits{{padding-left:1.1rem;max-width:44rem}}
ul.limits li{{margin:.35rem 0}}
footer{{margin-top:2.5rem;padding-top:.6rem;border-top:1px solid var(--rule)}}
@media (max-width:40rem){{.head{{grid-template-columns:repeat(2,1fr)}}
dl.facts{{grid-template-columns:1fr}}dl.facts dt{{border:0;padding-bottom:0}}}}
@page{{size:A4;margin:16mm 15mm 18mm}}
@media print{{
:root{{color-scheme:light;{_LIGHT}}}
html,body{{background:#fff}}
body{{max-width:none;padding:0;font-size:8.6pt;print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
h2,h3,figcaption,caption{{break-after:avoid}}
figure,.verdicts,.head,tr,table.short,dl.facts>*{{break-inside:avoid}}
thead{{display:table-header-group}}
.scroll{{overflow:visible}}
nav,summary{{display:none}}
details::details-content{{display:block;content-visibility:visible;height:auto}}
a{{text-decoration:none}}
}}
"""

#: What may load: this very sheet, nothing else, from nowhere.
CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'"
)
