/* Passkeys: a form with data-passkey="create" or "get" asks the browser for one before it is sent.
   Its options are on the page (#js_data), or at the form's own address (data-passkey-options). */
(() => {
  "use strict";

  async function options(form) {
    if (!form.hasAttribute("data-passkey-options")) {
      return JSON.parse(document.getElementById("js_data").textContent);
    }
    const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
    return answer.json();
  }

  async function create(given) {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(given.creation_options.publicKey);
    /* Kept on the device with the name of the account, and opened by a finger, a face or a PIN. */
    publicKey.authenticatorSelection = {
      ...publicKey.authenticatorSelection,
      residentKey: "required",
      requireResidentKey: true,
      userVerification: "required",
    };
    return navigator.credentials.create({ publicKey });
  }

  function get(given) {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(given.request_options.publicKey);
    return navigator.credentials.get({ publicKey });
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-passkey]");
    if (!form || form.elements.credential.value) return;
    event.preventDefault();
    const failed = form.querySelector("[data-passkey-failed]");
    failed.hidden = true;
    try {
      const given = await options(form);
      const credential = await (form.dataset.passkey === "create" ? create(given) : get(given));
      form.elements.credential.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch { /* refused, taken too long, or no such key on this device */
      failed.hidden = false;
    }
  });
})();
