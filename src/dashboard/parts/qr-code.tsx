import { create } from 'qrcode';
import classes from './qr-code.module.css';

/** Text as a code that a camera reads, drawn here: nobody else learns the text. */
export function QrCode({ text, label }: { readonly text: string; readonly label: string }) {
  const { size, data } = create(text, { errorCorrectionLevel: 'M' }).modules;
  const path = Array.from(data, (dark, at) =>
    dark ? `M${(at % size) + QUIET} ${Math.floor(at / size) + QUIET}h1v1h-1z` : '',
  ).join('');
  const side = size + 2 * QUIET;
  return (
    <svg className={classes.code} viewBox={`0 0 ${side} ${side}`} role="img" aria-label={label}>
      <rect className={classes.light} width={side} height={side} />
      <path className={classes.dark} d={path} shapeRendering="crispEdges" />
    </svg>
  );
}

/** Modules of light around the code (ISO/IEC 18004 asks for four). */
const QUIET = 4;
