// common.js - what the pages share: making elements, and numbers and tokens as text.
'use strict';

const at = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
}

// Spaces and control characters as their pictures in Unicode: a token can be nothing else.
const visible = (text) => text.replace(/\n/g, '⏎').replace(/ /g, '␣')
    .replace(/[\0-\x1f]/g, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0))) || '∅';
const plural = (n, one) => `${grouped(n)} ${n === 1 ? one : `${one}s`}`;

// Groups of three, so that long numbers can be compared by eye.
function grouped(n) {
    return String(n).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}
