// Blob Storage: the container of images, and the private container (input copies, turns, renditions and the outbox).

param name string
param sku string
param identityName string
@allowed(['public', 'private'])
param imageAccess string
@description('Origins whose pages may read the images into a canvas.')
param origins string[]
param location string
param tags object

var blobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
// A contributor cannot set blob tags.
var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: imageAccess == 'public'
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    networkAcls: { defaultAction: 'Allow', bypass: 'AzureServices' }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: { enabled: true, days: 7 }
      containerDeleteRetentionPolicy: { enabled: true, days: 7 }
      // The lifecycle rule for unused uploads needs the time of the last read.
      lastAccessTimeTrackingPolicy: {
        enable: true
        name: 'AccessTimeTracking'
        trackingGranularityInDays: 1
        blobType: ['blockBlob']
      }
      cors: {
        corsRules: empty(origins)
          ? []
          : [
              {
                allowedOrigins: origins
                allowedMethods: ['GET', 'HEAD']
                // The same as the API allows: tracing libraries add headers to every request of a page.
                allowedHeaders: [
                  'range'
                  'if-none-match'
                  'if-range'
                  'cache-control'
                  'traceparent'
                  'tracestate'
                  'baggage'
                  'sentry-trace'
                  'request-id'
                  'request-context'
                  'x-ms-*'
                ]
                exposedHeaders: ['content-length', 'content-type', 'content-range', 'accept-ranges', 'etag']
                maxAgeInSeconds: 3600
              }
            ]
      }
    }

    resource images 'containers' = {
      name: 'catafract'
      // `Blob`: an image is readable by its name. `Container` would also list all names.
      properties: { publicAccess: imageAccess == 'public' ? 'Blob' : 'None' }
    }

    resource private 'containers' = {
      name: 'catafract-private'
      properties: { publicAccess: 'None' }
    }
  }

  resource lifecycle 'managementPolicies' = {
    name: 'default'
    properties: {
      policy: {
        rules: [
          {
            name: 'input-copies'
            enabled: true
            type: 'Lifecycle'
            definition: {
              filters: {
                blobTypes: ['blockBlob']
                prefixMatch: ['catafract-private/inputs/', 'catafract-private/turns/']
              }
              // A copy is written again each time it is used, so that the days count from its last use. For the turns
              // of models they count from when the turn was made.
              actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } } }
            }
          }
          {
            name: 'renditions'
            enabled: true
            type: 'Lifecycle'
            definition: {
              // Renditions are deleted with their images. This rule deletes those that a crash left; they are made again on request.
              filters: { blobTypes: ['blockBlob'], prefixMatch: ['catafract-private/renditions/'] }
              actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 90 } } }
            }
          }
          {
            name: 'unused-uploads'
            enabled: true
            type: 'Lifecycle'
            definition: {
              // Selected by tag, because no prefix distinguishes uploads from generated images.
              filters: {
                blobTypes: ['blockBlob']
                prefixMatch: ['catafract/']
                blobIndexMatch: [{ name: 'kind', op: '==', value: 'upload' }]
              }
              actions: { baseBlob: { delete: { daysAfterLastAccessTimeGreaterThan: 90 } } }
            }
          }
        ]
      }
    }
    dependsOn: [blobs]
  }
}

// The app needs these two containers only.
resource readAndWriteImages 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::images.id, identityName, blobDataOwner)
  scope: account::blobs::images
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataOwner)
  }
}

resource readAndWritePrivate 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::private.id, identityName, blobDataContributor)
  scope: account::blobs::private
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
  }
}
