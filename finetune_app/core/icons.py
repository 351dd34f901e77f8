"""The project's icons: 16 x 16, one stroke, round caps. Always shown beside text.

Each value is the content of an <svg viewBox="0 0 16 16">; `ui.icon` wraps it. Inline, so that
pages need no further request and icons take the colour of the text.
"""

ICONS: dict[str, str] = {
    "check": '<path d="M3 8.5l3.2 3.2L13 4.8"/>',
    "cross": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "warn": '<path d="M8 2.5L14.2 13.3H1.8z"/><path d="M8 6.8v2.8M8 11.5v.01"/>',
    "info": '<circle cx="8" cy="8" r="5.8"/><path d="M8 7.4v3.4M8 5.1v.01"/>',
    "plus": '<path d="M8 3.2v9.6M3.2 8h9.6"/>',
    "minus": '<path d="M3.2 8h9.6"/>',
    "down": '<path d="M4 6.2l4 4 4-4"/>',
    "up": '<path d="M4 9.8l4-4 4 4"/>',
    "right": '<path d="M6.2 4l4 4-4 4"/>',
    "left": '<path d="M9.8 4l-4 4 4 4"/>',
    "becomes": '<path d="M8 2v11.5M3.5 9.2L8 13.7l4.5-4.5"/>',
    "search": '<circle cx="7" cy="7" r="4.2"/><path d="M10.2 10.2L13.5 13.5"/>',
    "stop": '<rect x="4" y="4" width="8" height="8" rx="1"/>',
    "play": '<path d="M5 3.4l7.4 4.6L5 12.6z"/>',
    "pause": '<path d="M5.5 3.8v8.4M10.5 3.8v8.4"/>',
    "undo": '<path d="M5.4 3L2.8 5.6l2.6 2.6M3 5.6h6.4a3.6 3.6 0 0 1 0 7.2H6.2"/>',
    "redo": '<path d="M10.6 3l2.6 2.6-2.6 2.6M13 5.6H6.6a3.6 3.6 0 0 0 0 7.2h3.2"/>',
    "copy": (
        '<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/>'
        '<path d="M3.5 10.5h-.2a.8.8 0 0 1-.8-.8V3.3a.8.8 0 0 1 .8-.8h6.4a.8.8 0 0 1 .8.8v.2"/>'
    ),
    "file": '<path d="M4 1.8h5.2L12.5 5v9.2H4zM9 2v3.2h3.3"/>',
    "upload": '<path d="M8 10.5V2.8M4.8 5.8L8 2.6l3.2 3.2M2.5 10.5v2.7h11v-2.7"/>',
    "download": '<path d="M8 2.6v7.7M4.8 7.3L8 10.5l3.2-3.2M2.5 10.5v2.7h11v-2.7"/>',
    "bin": '<path d="M2.8 4.3h10.4M6 4.2V2.5h4v1.7M4.2 4.5l.6 9h6.4l.6-9M6.8 7v4M9.2 7v4"/>',
    "pencil": '<path d="M2.8 13.2l.6-2.9 7.4-7.4 2.3 2.3-7.4 7.4zM9.3 4.4l2.3 2.3"/>',
    "snow": '<path d="M8 2v12M2.8 5l10.4 6M13.2 5L2.8 11"/>',
    "clock": '<circle cx="8" cy="8" r="5.8"/><path d="M8 4.8V8l2.2 1.5"/>',
    "lock": (
        '<rect x="3.3" y="7" width="9.4" height="6.5" rx="1.3"/>'
        '<path d="M5.3 7V5.2a2.7 2.7 0 0 1 5.4 0V7"/>'
    ),
    "key": '<circle cx="5" cy="11" r="2.7"/><path d="M7 9l6-6M10.4 5.6l2 2"/>',
    "eye": (
        '<path d="M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8z"/>'
        '<circle cx="8" cy="8" r="1.9"/>'
    ),
    "person": '<circle cx="8" cy="5.2" r="2.6"/><path d="M2.9 13.5a5.1 5.1 0 0 1 10.2 0"/>',
    "people": (
        '<circle cx="6" cy="5.4" r="2.3"/><path d="M1.6 13a4.4 4.4 0 0 1 8.8 0"/>'
        '<path d="M10.3 3.3a2.2 2.2 0 0 1 0 4.2M12 9.4A4.3 4.3 0 0 1 14.4 13"/>'
    ),
    "chat": '<path d="M2.3 3.3h11.4v7.9H7.2L4.3 13.7v-2.5h-2z"/>',
    "send": '<path d="M8 13.3V3M3.8 7.2L8 3l4.2 4.2"/>',
    "chip": (
        '<rect x="3" y="3" width="10" height="10" rx="1.5"/>'
        '<rect x="6" y="6" width="4" height="4"/>'
        '<path d="M6 1v2M10 1v2M6 13v2M10 13v2M1 6h2M1 10h2M13 6h2M13 10h2"/>'
    ),
    "cloud": ('<path d="M4.5 12.5h7a2.7 2.7 0 0 0 .4-5.4A4 4 0 0 0 4.3 6.6a3 3 0 0 0 .2 5.9z"/>'),
    "up-thumb": (
        '<path d="M5 7.2v6H2.7v-6zM5 7.5l2.4-5c1 0 1.6.6 1.6 1.6v2.3h3.3c.8 0 1.3.7 '
        '1.1 1.5l-1 4c-.1.7-.7 1.2-1.4 1.2H5"/>'
    ),
    "down-thumb": (
        '<path d="M11 8.8v-6h2.3v6zM11 8.5l-2.4 5c-1 0-1.6-.6-1.6-1.6V9.6H3.7c-.8 0-1.3-.7'
        '-1.1-1.5l1-4c.1-.7.7-1.2 1.4-1.2H11"/>'
    ),
    "sliders": (
        '<path d="M2.5 4.5h5M11 4.5h2.5M2.5 11.5H5M8.5 11.5h5"/>'
        '<circle cx="9.2" cy="4.5" r="1.7"/><circle cx="6.8" cy="11.5" r="1.7"/>'
    ),
    "list": '<path d="M3 4.3h10M3 8h10M3 11.7h6"/>',
    "shield": '<path d="M8 1.9l5 1.9v3.7c0 3.3-2.1 5.5-5 6.6-2.9-1.1-5-3.3-5-6.6V3.8z"/>',
    "better": '<path class="solid" d="M8 3.5l5.5 9h-11z"/>',
    "worse": '<path class="solid" d="M8 12.5l-5.5-9h11z"/>',
    "same": '<path d="M3 6h10M3 10h10"/>',
}
