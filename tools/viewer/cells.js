// cells.js - a canvas of cells in rows and columns, which mouse and keys visit and choose.
'use strict';

const MARGIN = 3; // CSS pixels round the cells

class Cells {
    // `room`: CSS pixels above the cells and left of them. `pick(row, column)` is called for a chosen cell, `say(row, column)`
    // for a visited one; `home()` is the cell [row, column] where a visit begins.
    constructor(canvas, rows, columns, rowHeight, room, {pick, say, home}) {
        Object.assign(this, {canvas, rows, columns, rowHeight, pick, say, home, cursor: null});
        Object.assign(this, {above: MARGIN + (room.above ?? 0), left: MARGIN + (room.left ?? 0)});
        canvas.style.height = `${this.above + rows * rowHeight + MARGIN}px`;
        canvas.addEventListener('click', (event) => this.click(event));
        canvas.addEventListener('keydown', (event) => this.key(event));
        canvas.addEventListener('focus', () => this.move(0, 0));
        canvas.addEventListener('blur', () => { this.cursor = null; this.draw(this.shown); });
    }

    // The cell under the mouse, or null.
    under(event) {
        const row = Math.floor((event.offsetY - this.above) / this.rowHeight);
        const column = Math.floor((event.offsetX - this.left) * this.columns / (this.canvas.clientWidth - this.left - MARGIN));
        return row < 0 || column < 0 || row >= this.rows || column >= this.columns ? null : {row, column};
    }

    click(event) {
        const cell = this.under(event);
        if (cell === null) return;
        this.cursor = cell;
        this.pick(cell.row, cell.column);
    }

    key(event) {
        const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
        if (event.key in moves) this.move(...moves[event.key]);
        else if (event.key === 'Enter' && this.cursor) this.pick(this.cursor.row, this.cursor.column);
        else return; // home, end and space belong to the page
        event.preventDefault();
        event.stopPropagation();
    }

    // Stays within the cells.
    move(down, right) {
        const within = (x, end) => Math.min(Math.max(x, 0), end - 1);
        const [row, column] = this.cursor ? [this.cursor.row, this.cursor.column] : this.home();
        this.cursor = {row: within(row + down, this.rows), column: within(column + right, this.columns)};
        this.say(this.cursor.row, this.cursor.column);
        this.draw(this.shown);
    }

    // A clean canvas whose origin is the corner of the cells. Sizes of a cell, in the canvas's own pixels: `side`, `down`.
    begin(shown) {
        this.shown = shown;
        const {canvas} = this, scale = devicePixelRatio;
        const width = Math.max(1, Math.round(canvas.clientWidth * scale)), height = Math.max(1, Math.round(canvas.clientHeight * scale));
        if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
        const paint = canvas.getContext('2d'), style = getComputedStyle(canvas);
        paint.setTransform(1, 0, 0, 1, 0, 0);
        paint.clearRect(0, 0, width, height);
        paint.translate(this.left * scale, this.above * scale);
        Object.assign(this, {paint, side: (width - (this.left + MARGIN) * scale) / this.columns, down: this.rowHeight * scale});
        return (name) => style.getPropertyValue(name).trim(); // a colour of the style sheet
    }

    frameCursor(colour) {
        if (this.cursor) this.frame(this.cursor.row, this.cursor.column, 1, 1, colour);
    }

    // [left, width] of some columns, in whole pixels, or seams would shine through.
    across(first, end) {
        const left = Math.round(first * this.side);
        return [left, Math.max(1, Math.round(end * this.side) - left)];
    }

    // [top, height] of a row, with a gap where there is room for one.
    along(row) {
        const top = Math.round(row * this.down);
        return [top, Math.max(1, Math.round((row + 1) * this.down) - top - (this.down >= 4 ? 1 : 0))];
    }

    // Round the cells, not on them: they can be as small as the line is wide.
    frame(row, column, rows, columns, colour) {
        const line = 1.5 * devicePixelRatio;
        this.paint.strokeStyle = colour;
        this.paint.lineWidth = line;
        this.paint.strokeRect(column * this.side - line / 2, row * this.down - line / 2, columns * this.side + line, rows * this.down + line);
    }
}
