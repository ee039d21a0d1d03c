// The shapes of a mask: strokes and rectangles, in fractions of the image, so that they fit a canvas of any size.
//
// A stroke has `points` ([x, y]) and `size`, its width as a fraction of the image's longer side; a rectangle has `x`, `y`,
// `width` and `height`. Each marks what it covers, or with `erases` unmarks it.

export const EVERYTHING = { kind: "rectangle", x: 0, y: 0, width: 1, height: 1 };

/** Draw a shape in `colour`. Unmarked pixels are transparent. */
export function draw(context, shape, colour) {
  begin(context, shape, colour);
  if (shape.kind === "stroke") line(context, shape, shape.points);
  else rectangle(context, shape);
}

/** Draw the line to the last point of a stroke. */
export function extend(context, shape, colour) {
  begin(context, shape, colour);
  line(context, shape, shape.points.slice(-2));
}

/** Draw all of `shapes` on an empty canvas. */
export function redraw(context, shapes, colour) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  for (const shape of shapes) draw(context, shape, colour);
}

/** Return whether a pixel is marked, with the API's threshold: half of the range. */
export function marksAnything(context) {
  const { data } = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  for (let alpha = 3; alpha < data.length; alpha += 4) if (data[alpha] > 127) return true;
  return false;
}

function begin(context, { erases }, colour) {
  context.globalCompositeOperation = erases ? "destination-out" : "source-over";
  context.fillStyle = colour;
  context.strokeStyle = colour;
}

function line(context, { size }, points) {
  const { width, height } = context.canvas;
  const [first, ...others] = points.map(([x, y]) => [x * width, y * height]);
  context.lineWidth = size * Math.max(width, height);
  context.lineCap = "round";
  context.lineJoin = "round";
  // The dot of a single press: canvas does not draw a line of zero length.
  context.beginPath();
  context.arc(...first, context.lineWidth / 2, 0, 2 * Math.PI);
  context.fill();
  context.beginPath();
  context.moveTo(...first);
  for (const point of others) context.lineTo(...point);
  context.stroke();
}

/** Draw a rectangle on whole pixels, without a blurred edge. */
function rectangle(context, shape) {
  const { width, height } = context.canvas;
  const [left, top] = [Math.round(shape.x * width), Math.round(shape.y * height)];
  const [right, bottom] = [Math.round((shape.x + shape.width) * width), Math.round((shape.y + shape.height) * height)];
  context.fillRect(left, top, right - left, bottom - top);
}
