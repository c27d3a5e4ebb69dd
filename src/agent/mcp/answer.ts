/** What a server answered, as text. */

/** A part of an answer, as the protocol has them; what is not known here is named by its type. */
export interface ContentPart {
  readonly type: string;
  readonly text?: string;
  /** In base64. */
  readonly data?: string;
  readonly mimeType?: string;
  readonly uri?: string;
  readonly resource?: {
    readonly uri: string;
    readonly text?: string;
    readonly blob?: string;
    readonly mimeType?: string;
  };
}

/** An answer to a call. */
export interface ToolAnswer {
  readonly content: readonly ContentPart[];
  readonly structuredContent?: unknown;
  readonly isError?: boolean;
}

/**
 * The text of an answer: its parts, a line each; of pictures, sounds and other files their kind and size. An answer without
 * parts is its structured content.
 */
export function textOfAnswer({ content, structuredContent }: ToolAnswer): string {
  if (content.length === 0 && structuredContent !== undefined)
    return JSON.stringify(structuredContent);
  return content.map(partText).join("\n");
}

function partText(part: ContentPart): string {
  const { type, text, data, mimeType, uri, resource } = part;
  if (type === "text") return text ?? "";
  if (data !== undefined) return fileText(type, mimeType, data);
  if (resource?.text !== undefined) return resource.text;
  if (resource) return fileText(`resource ${resource.uri}`, resource.mimeType, resource.blob ?? "");
  return uri === undefined ? `[${type}]` : `[${type} ${uri}]`;
}

function fileText(what: string, mimeType = "application/octet-stream", base64 = ""): string {
  const padding = /=*$/.exec(base64.slice(-2))?.[0].length ?? 0;
  return `[${what} ${mimeType}, ${Math.floor((base64.length * 3) / 4) - padding} bytes]`;
}
