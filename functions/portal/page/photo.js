// The reader's photo.
//
// {file, name, type, url, width, height}: `url` is of a picture that the browser can show, empty until there is one.
// Width and height are those of the upright photo; 0 until they are known. `place` is {bucket, key} once uploaded.

const TYPES = {
  jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", webp: "image/webp", gif: "image/gif", bmp: "image/bmp",
  tif: "image/tiff", tiff: "image/tiff", avif: "image/avif",
};

/** Gives the photo of a file; `file.name` may be missing in what is pasted. */
async function openPhoto(file) {
  const name = file.name || "pasted.png";
  const known = TYPES[name.split(".").at(-1).toLowerCase()];
  // What the bytes are counts, to the service; the type must only be one that it knows.
  const type = Object.values(TYPES).includes(file.type) ? file.type : known ?? "image/jpeg";
  const photo = { file, name, type, url: "", width: 0, height: 0 };
  await showAs(photo, file);
  return photo;
}

/** Takes a picture as what is shown of a photo, if the browser can; the dimensions are the photo's, if not known. */
async function showAs(photo, blob) {
  const url = URL.createObjectURL(blob);
  const image = new Image();
  image.src = url;
  try {
    await image.decode(); // browsers turn it upright by EXIF, as the service does
  } catch {
    URL.revokeObjectURL(url);
    return;
  }
  if (photo.url) URL.revokeObjectURL(photo.url);
  photo.url = url;
  photo.width ||= image.naturalWidth;
  photo.height ||= image.naturalHeight;
}

/** Lets the service make a picture of a photo that the browser cannot show, or shows turned. */
async function fetchPreview(photo, signal) {
  const parameters = { ops: "resize:w=1600,h=1600,fit=inside,enlarge=no", format: "webp" };
  const response = await sendPhoto(photo, "v1/transform", parameters, { accept: "*/*", signal });
  await showAs(photo, await response.blob());
}

/** Sends a photo with parameters: its bytes, or its place where it has been uploaded. */
function sendPhoto(photo, path, parameters, { accept = "application/json", signal }) {
  const headers = { Accept: accept };
  if (!photo.place) {
    return api.send(path, { method: "POST", query: parameters, body: photo.file, headers: { ...headers, "Content-Type": photo.type }, signal });
  }
  return api.sendJson(path, { s3: photo.place, parameters }, { headers: { ...headers, "Content-Type": "application/json" }, signal });
}
