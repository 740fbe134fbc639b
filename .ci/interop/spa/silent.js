// Hands the answer to the page that opened the frame.
'use strict'

new oidc.UserManager({ authority: 'unused', client_id: 'unused', redirect_uri: 'unused' }).signinSilentCallback()
