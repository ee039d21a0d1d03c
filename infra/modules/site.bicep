// The Static Web App in front. `infra/deploy.sh` deploys a first page to it and links the function app as its `/api`: requests to
// `/api` resolve only after a page has been deployed, and a linked function app refuses the direct calls that check it.

param name string
param location string
param tags object

resource site 'Microsoft.Web/staticSites@2024-11-01' = {
  name: name
  location: location
  tags: tags
  // Linking a backend is a feature of Standard.
  sku: { name: 'Standard', tier: 'Standard' }
  properties: {
    allowConfigFileUpdates: true
    stagingEnvironmentPolicy: 'Disabled'
  }
}

output host string = site.properties.defaultHostname
