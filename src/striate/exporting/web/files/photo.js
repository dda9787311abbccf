// Photographs: dropped, pasted, chosen, or taken by the camera.

const LONGEST = 1600; // pixels of a side; larger pictures are reduced by the browser first
let stream = null;
let onPicture = () => {};

function makePhoto(changed) {
  onPicture = changed;
  element("file").addEventListener("change", (event) => take(event.target.files[0]));
  addEventListener("paste", (event) => take([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
  addEventListener("dragover", (event) => { event.preventDefault(); element("sheet").classList.add("over"); });
  addEventListener("dragleave", () => element("sheet").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    element("sheet").classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  element("camera").hidden = !navigator.mediaDevices?.getUserMedia;
  element("camera").addEventListener("click", () => (stream ? endCamera() : startCamera()));
}

async function take(file) {
  if (!file) return;
  endCamera();
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    element("photo").setAttribute("aria-label", `Your picture: ${file.name}`);
    show(bitmap, bitmap.width, bitmap.height);
    bitmap.close();
  } catch {
    trouble(`${file.name || "That"} is no picture that this browser can read.`);
  }
}

// Draws a picture, and hands over its pixels, uint8 (height, width, 3); what is transparent lies on black.
function show(source, width, height) {
  const share = Math.min(1, LONGEST / Math.max(width, height)), canvas = element("photo");
  canvas.width = Math.max(1, Math.round(width * share));
  canvas.height = Math.max(1, Math.round(height * share));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const coloured = context.getImageData(0, 0, canvas.width, canvas.height).data, data = new Uint8Array(3 * canvas.width * canvas.height);
  for (let from = 0, to = 0; from < coloured.length; from += 4) {
    data[to++] = coloured[from];
    data[to++] = coloured[from + 1];
    data[to++] = coloured[from + 2];
  }
  element("hint").hidden = true;
  onPicture({ data, width: canvas.width, height: canvas.height });
}

async function startCamera() {
  const video = element("video");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 640 } } });
  } catch {
    return trouble("The camera is not to be had: the browser or its owner said no.");
  }
  video.srcObject = stream;
  await video.play();
  element("camera").setAttribute("aria-pressed", "true");
  element("camera").textContent = "Hold this picture";
  const next = async () => {
    if (!stream) return;
    show(video, video.videoWidth, video.videoHeight);
    await settled();
    requestAnimationFrame(next);
  };
  next();
}

function endCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  element("camera").setAttribute("aria-pressed", "false");
  element("camera").textContent = "Camera";
}
