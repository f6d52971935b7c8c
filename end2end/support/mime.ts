// Mail as other people's programs write it.
import { randomUUID } from 'node:crypto';

type Mail = {
  from?: string;
  to?: string;
  subject: string;
  text?: string;
  html?: string;
  attachment?: { name: string; type: string; content: Buffer };
};

/** The text of a mail, with CRLF line ends. */
export function mime({ from = 'Kim Jiwoo <jiwoo@example.org>', to = 'alice@demo.test', ...mail }: Mail): string {
  const body = content(mail);
  const head = [
    `From: ${from}`,
    `To: ${to}`,
    `Subject: ${encoded(mail.subject)}`,
    `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <${randomUUID()}@example.org>`,
    'MIME-Version: 1.0',
  ];
  return [...head, body].join('\r\n');
}

function content({ text, html, attachment }: Mail): string {
  const part = html === undefined ? leaf('text/plain', text ?? '') : leaf('text/html', html);
  if (!attachment) return part;
  const boundary = `=_${randomUUID()}`;
  const file = [
    `Content-Type: ${attachment.type}; name="${attachment.name}"`,
    `Content-Disposition: attachment; filename="${attachment.name}"`,
    'Content-Transfer-Encoding: base64',
    '',
    wrapped(attachment.content),
  ].join('\r\n');
  return [
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    part,
    `--${boundary}`,
    file,
    `--${boundary}--`,
    '',
  ].join('\r\n');
}

function leaf(type: string, text: string): string {
  const head = [`Content-Type: ${type}; charset=UTF-8`, 'Content-Transfer-Encoding: base64', ''];
  return [...head, wrapped(Buffer.from(text))].join('\r\n');
}

function wrapped(bytes: Buffer): string {
  return bytes.toString('base64').replace(/.{76}/g, '$&\r\n');
}

function encoded(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`;
}
